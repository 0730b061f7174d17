"""The Measure contract: every measure of every task that it suits emits what it declares, in any company.

A new file in physlm.measures is tested here by being there.
"""

from __future__ import annotations

from functools import cache
from math import isfinite, sqrt
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physlm.catalog import Emission, Observation
from physlm.catalog.emission import ENTROPY, faults, find
from physlm.measures import registry
from physlm.measures.measure import Member
from physlm.models import parse
from physlm.models.decoder import Decoder, initialise
from physlm.tasks import Task
from physlm.tasks import registry as tasks
from physlm.tasks.capabilities import HasEntropy, supports
from physlm.tasks.task import Stream
from physlm.training.packing import pack

COUNT = 24
SEEDS = (3, 4)
TASKS = {name: cls(cls.config_type.model_validate(cls.presets["tiny"])) for name, cls in tasks.items()}
SUPPORTED = [
    (name, task) for name, cls in registry.items() for task in TASKS if cls.unsupported_reason(TASKS[task]) is None
]
every_measure = pytest.mark.parametrize("name", list(registry))
every_supported = pytest.mark.parametrize(("name", "task"), SUPPORTED)

Knows = Literal["initial", "nothing", "frequencies"]
"""What a model knows: what it was initialised with; which tokens are in use; and how frequent each of these is."""


def decoder(task: Task[Any], seeds: tuple[int, ...], knows: Knows = "initial") -> Decoder:
    """Untrained models; those that know frequencies or nothing tell the same of each token, whatever they read."""
    blind = knows != "initial"
    config = parse({"type": "gpt2", "layers": 1, "heads": 1, "width": 8, "tied": not blind})
    made = Decoder(config, len(task.vocabulary), len(seeds))
    initialise(made, list(seeds))
    if blind:
        assert made.unembedding is not None
        with torch.no_grad():
            made.embedding.copy_(made.embedding[:, :1].expand_as(made.embedding))  # all tokens look alike
            hidden = made(torch.zeros(len(seeds), 1, 1, dtype=torch.int64))  # so it gives this for every text
            direction = hidden / (hidden**2).sum(-1, keepdim=True)
            logits = [_log_shares(task, seed, knows) for seed in seeds]
            made.unembedding.copy_(torch.tensor(np.stack(logits), dtype=torch.float32).unsqueeze(2) * direction)
    return made.eval().requires_grad_(False)


def _log_shares(task: Task[Any], seed: int, knows: Knows) -> NDArray[np.float64]:
    """Logits of as many tokens as are in use, those that occur among them; all others are out of the question."""
    drawn = task.sample(Stream("test", seed), np.arange(COUNT, dtype=np.int64))
    source = pack(drawn, 2 * task.max_length, task.separator)[0].source[:, 1:]  # the first token of a window is given
    predicted = np.intersect1d(source[source >= 0], np.flatnonzero(drawn.loss))
    counts = np.bincount(drawn.tokens[predicted], minlength=len(task.vocabulary)).astype(np.float64)
    used = np.argsort(-counts, kind="stable")[: max(task.used_tokens, int((counts > 0).sum()))]
    logits = np.full(len(counts), -30.0)
    logits[used] = 0.0 if knows == "nothing" else np.log((counts[used] + 1e-3) / counts.sum())
    return logits


@cache
def evaluated(name: str, task: str, seeds: tuple[int, ...], knows: Knows = "initial") -> list[list[Observation]]:
    language = TASKS[task]
    members = [Member(language, seed, 2 * language.max_length, 500) for seed in seeds]
    with pytest.MonkeyPatch.context() as patch:
        if registry[name].samples is not None:
            patch.setattr(registry[name], "samples", COUNT)
        return registry[name]().evaluate(decoder(language, seeds, knows), members)


@cache
def emitted(name: str, task: str) -> list[Emission]:
    """What the measure declares of the task: chance levels are sampled for it, which takes a second for some."""
    return list(registry[name].emits(TASKS[task]))


def declared(name: str, task: str, observation: Observation) -> Emission:
    emission = find(emitted(name, task), observation)
    assert emission is not None, f"{name} emits {observation.measure} of {task}, which it doesn't declare in `emits`"
    return emission


def error(o: Observation) -> float:
    """What may part a number from what it estimates, at five standard errors."""
    return 5 * (o.stderr or 0.0) + 1e-5 + 1e-3 * abs(o.chance or 0.0)


@every_supported
def test_observations_are_as_declared(name: str, task: str) -> None:
    emissions = emitted(name, task)
    for rows in evaluated(name, task, SEEDS):
        assert rows, f"{name} gives no observation of {task}; let `unsupported_reason` refuse what it can't measure"
        wrong = list(faults(emissions, rows))
        assert not wrong, wrong[0]
        for o in rows:
            said = declared(name, task, o).chance
            assert (said is None) == (o.chance is None), (
                f"{o.measure} of {task} has no chance level, but its declaration says that {said!r} gets one: give "
                "Observation(chance=...), or leave chance out of the Emission"
            )


@every_supported
def test_observations_are_numbers_of_their_own(name: str, task: str) -> None:
    for rows in evaluated(name, task, SEEDS):
        kinds = [(o.measure, o.target, o.layer, o.position) for o in rows]
        twice = next((kind for kind in kinds if kinds.count(kind) > 1), None) if len(set(kinds)) < len(kinds) else None
        assert twice is None, f"{name} gives two observations of one name, target, layer and position: {twice}"
        for o in rows:
            for word in ("value", "stderr", "chance", "floor", "ceiling"):
                number = getattr(o, word)
                assert (number is None and word != "value") or isfinite(number), f"{word} is no number in {o}"
            assert (o.position is None) == (o.target is None), f"a target says what the position counts, in {o}"
            assert o.stderr is None or (o.stderr >= 0 and o.n is not None and o.n > 0), f"an error of no items in {o}"
            if o.unit == "1" and o.ceiling == 1:
                assert 0 <= o.value <= 1, f"a share beyond 0 and 1: {o}"


@pytest.mark.slow
@every_supported
def test_a_model_is_measured_as_it_would_be_alone(name: str, task: str) -> None:
    """Up to samples on the edge between two tokens, which rounding decides."""
    together, alone = evaluated(name, task, SEEDS)[1], evaluated(name, task, SEEDS[1:])[0]
    expected = {(o.measure, o.target, o.layer, o.position): o for o in alone}
    for o in together:
        other = expected[o.measure, o.target, o.layer, o.position]
        assert o.value == pytest.approx(other.value, rel=1e-4, abs=(0.5 * (o.stderr or 0.0)) + 1e-6), (
            f"{o.measure} of {task} is {o.value:g} beside another model, but {other.value:g} alone"
        )
        assert (o.n, o.unit, o.chance) == (other.n, other.unit, pytest.approx(other.chance)), o


@pytest.mark.slow
@every_supported
def test_chance_is_what_a_model_gets_that_reads_nothing(name: str, task: str) -> None:
    """Of a model that takes all tokens in use for equally likely, or of one that knows how frequent they are."""
    blind = [evaluated(name, task, SEEDS[:1], knows)[0] for knows in ("nothing", "frequencies")]
    found: dict[tuple[Any, ...], list[Observation]] = {}
    for o in (o for rows in blind for o in rows if o.chance is not None and not o.measure.endswith(".untrained")):
        found.setdefault((o.measure, o.target, o.layer, o.position), []).append(o)
    for rows in found.values():
        emission, chance = declared(name, task, rows[0]), float(rows[0].chance or 0.0)
        low, high = min(o.value - error(o) for o in rows), max(o.value + error(o) for o in rows)
        gets = f"{min(o.value for o in rows):.4g} to {max(o.value for o in rows):.4g}"
        says = f"{rows[0].measure} of {task} says that chance is {chance:.4g} ({emission.chance}), but models"
        beaten = any(
            (o.value - error(o) > chance if emission.better != "lower" else o.value + error(o) < chance) for o in rows
        )
        if emission.chance_is_exact:
            assert low <= chance <= high, (
                f"{says} that read nothing get {gets}: state what they get. If it is the best of all that can be got "
                "without reading, declare chance_is_exact=False"
            )
        else:
            assert not beaten, f"{says} that read nothing are better, at {gets}: it takes ignorance for knowledge"


@pytest.mark.slow
@every_supported
def test_no_model_is_beyond_a_floor_or_a_ceiling(name: str, task: str) -> None:
    """Where a direction is better; of what describes only, levels are there to compare with."""
    every: tuple[Knows, ...] = ("initial", "nothing", "frequencies")
    for o in (
        o for knows in every for o in evaluated(name, task, SEEDS[:1] if knows != "initial" else SEEDS, knows)[0]
    ):
        if declared(name, task, o).better is None:
            continue
        text = f"{o.measure} of {task} is {o.value:.4g}, at chance {o.chance},"
        for value in (o.value, *([o.chance] if o.chance is not None else [])):
            assert o.floor is None or o.floor <= value + error(o), (
                f"{text} which is below the stated floor of {o.floor:.4g}: a floor is what no model can be below"
            )
            assert o.ceiling is None or o.ceiling >= value - error(o), (
                f"{text} which is above the stated ceiling of {o.ceiling:.4g}: a ceiling is what no model can be above"
            )


@every_supported
def test_the_entropy_is_no_more_than_the_language_itself_is_surprised(name: str, task: str) -> None:
    language = TASKS[task]
    for o in evaluated(name, task, SEEDS)[0]:
        if declared(name, task, o).floor != ENTROPY or o.floor is None or o.unit != "nats per token":
            continue
        drawn = language.sample(Stream("test", SEEDS[0]), np.arange(COUNT, dtype=np.int64))
        surprisal = language.surprisal(drawn) if supports(language, HasEntropy) else None
        if surprisal is None:
            continue
        first = drawn.offsets[:-1]
        # Where the next instance begins another window, the separator that ends one goes uncounted.
        ends = drawn.loss[first] & (drawn.tokens[first] == language.separator)
        tokens = float(drawn.loss.sum() - ends.sum())
        ideal, spread = float(surprisal.sum()) / tokens, 5 * float(surprisal.std()) * sqrt(COUNT) / tokens
        assert o.floor <= 1.05 * ideal + spread, (
            f"{o.measure} of {task} has a floor of {o.floor:.4g} {o.unit}, but who knows the language gets "
            f"{ideal:.4g}: the floor is too high"
        )


@every_measure
def test_a_task_or_model_that_it_does_not_support_is_refused_with_the_reason(name: str) -> None:
    cls, encoder = registry[name], parse({"type": "gpt2", "layers": 1, "heads": 1, "width": 8, "bidirectional": True})
    for task in TASKS.values():
        reason = cls.unsupported_reason(task)
        assert reason is None or task.name in reason, f"the reason doesn't name the task {task.name}: {reason}"
        with_encoder = cls.unsupported_reason(task, encoder)
        assert cls.of_encoders or with_encoder is not None, (
            f"{name} is not declared of_encoders, but unsupported_reason({task.name}, encoder) is None: leave what the "
            "measure itself doesn't refuse to super().unsupported_reason(task, model)"
        )


@every_measure
def test_its_name_is_that_of_its_file_and_it_says_what_it_emits(name: str) -> None:
    cls = registry[name]
    assert cls.__module__ == f"physlm.measures.{name}", (
        f"the measure {name!r} is in the file {registry.file_of(name).name}: name the file {name}.py"
    )
    assert cls.source() == f"{name}-v{cls.version}"
    assert cls.__doc__, f"{cls.__qualname__} has no docstring that says what it measures"
    whole = cls.emits()
    assert whole, f"{name} declares no observation in `emits`"
    for emission in whole:
        assert emission.meaning, f"the emission {emission.name} has no meaning"
        assert emission.unit, f"the emission {emission.name} has no unit; shares have '1'"
    for task in (TASKS[t] for n, t in SUPPORTED if n == name):
        general = [pattern.name_pattern for pattern in whole]
        for emission in cls.emits(task):
            assert any(pattern.fullmatch(emission.name) for pattern in general), (
                f"{name} emits {emission.name} of {task.name}, which emits() without a task doesn't have"
            )
