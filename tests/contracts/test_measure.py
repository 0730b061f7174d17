"""The Measure contract: every measure of every task that it suits says what it is, in any company."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from math import isfinite
from typing import Any

import pytest
import torch

from physlm.catalog import Observation
from physlm.measures import registry
from physlm.measures.measure import Member
from physlm.models import parse
from physlm.models.decoder import Decoder, initialise
from physlm.tasks import Task
from physlm.tasks import registry as tasks

COUNT = 24
SEEDS = (3, 4)
TASKS = {name: cls(cls.config_type.model_validate(cls.presets["tiny"])) for name, cls in tasks().items()}
SUITED = [(name, task) for name, cls in registry.items() for task in TASKS if cls.suits(TASKS[task]) is None]
DESCRIPTIVE = ("mistakes", "diversity")  # which tell of texts as they are written, right or wrong
every_measure = pytest.mark.parametrize("name", list(registry))
every_suited = pytest.mark.parametrize(("name", "task"), SUITED)


def decoder(task: Task[Any], seeds: tuple[int, ...], *, blind: bool = False) -> Decoder:
    """Untrained models; blind ones give every token the same probability, whatever they read."""
    made = Decoder(parse({"type": "gpt2", "layers": 1, "heads": 1, "width": 8}), len(task.vocabulary), len(seeds))
    initialise(made, list(seeds))
    if blind:
        with torch.no_grad():
            made.embedding.zero_()
    return made.eval().requires_grad_(False)


@cache
def taken(name: str, task: str, seeds: tuple[int, ...], *, blind: bool = False) -> list[list[Observation]]:
    language = TASKS[task]
    members = [Member(language, seed, 2 * language.max_length, 500) for seed in seeds]
    with pytest.MonkeyPatch.context() as patch:
        for module in map(import_module, {f"physlm.measures.{name}", registry[name].__module__}):
            for constant in ("SENTENCES", "QUESTIONS", "INSTANCES"):
                if hasattr(module, constant):
                    patch.setattr(module, constant, COUNT)
        return registry[name]().take(decoder(language, seeds, blind=blind), members)


@every_suited
def test_observations_say_what_they_are(name: str, task: str) -> None:
    for rows in taken(name, task, SEEDS):
        assert rows
        assert len({(o.measure, o.target, o.layer, o.position) for o in rows}) == len(rows)
        for o in rows:
            assert o.unit, o
            assert o.value is not None, o
            assert isfinite(o.value), o
            assert (o.position is None) == (o.target is None), o
            for bound in (o.stderr, o.chance, o.floor, o.ceiling):
                assert bound is None or isfinite(bound), o
            assert o.stderr is None or (o.stderr >= 0 and o.n is not None and o.n > 0), o
            if o.unit == "1" and o.ceiling == 1:
                assert 0 <= o.value <= 1, o


@every_suited
def test_a_model_is_measured_as_it_would_be_alone(name: str, task: str) -> None:
    """Up to samples on the edge between two tokens, which rounding decides."""
    together, alone = taken(name, task, SEEDS)[1], taken(name, task, SEEDS[1:])[0]
    expected = {(o.measure, o.target, o.layer, o.position): o for o in alone}
    for o in together:
        other = expected[o.measure, o.target, o.layer, o.position]
        assert o.value == pytest.approx(other.value, rel=1e-4, abs=(0.5 * (o.stderr or 0.0)) + 1e-6), o
        assert (o.n, o.unit, o.chance) == (other.n, other.unit, pytest.approx(other.chance)), o


@every_suited
def test_who_reads_nothing_is_at_chance_or_below(name: str, task: str) -> None:
    """Which is what a level of chance is for: no measure takes ignorance for knowledge."""
    rows = [o for o in taken(name, task, SEEDS, blind=True)[0] if o.chance is not None]
    without = (name, task) == ("accuracy", "cfg")  # where every sentence answers, and validity has one
    if name in DESCRIPTIVE or without or (name == "attention" and not TASKS[task].probe_ends):
        assert not rows
        return
    assert rows
    for o in rows:
        assert o.value is not None
        error = 5 * (o.stderr or 0.0) + 1e-6 + 1e-3 * abs(o.chance or 0.0)
        better = o.value - o.chance if o.unit in ("1", "bits", "bits per parameter") else o.chance - o.value
        assert better <= error, o


@every_measure
def test_a_task_that_it_does_not_suit_is_refused_with_the_reason(name: str) -> None:
    for task in TASKS.values():
        reason = registry[name].suits(task)
        assert reason is None or task.name in reason


@every_measure
def test_its_name_is_that_of_its_file_and_it_says_what_it_takes(name: str) -> None:
    cls = registry[name]
    assert cls.__module__ == f"physlm.measures.{name}"
    assert cls.source() == f"{name}-v{cls.version}"
    assert cls.__doc__
