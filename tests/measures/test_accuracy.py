"""Accuracy: a reader of the task's own text is always right, whatever the task; errors are those of shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from physlm import standard_errors
from physlm.catalog import Observation
from physlm.datasets.evaluations import languages, variant
from physlm.errors import UserError
from physlm.measures import answers as asking
from physlm.measures.accuracy import BY_OPERATIONS, Accuracy, observations
from physlm.measures.answers import Answers, ask
from physlm.measures.measure import Member
from physlm.models import generation, parse
from physlm.models.decoder import Decoder, initialise
from physlm.models.generation import Prompt, Written
from physlm.tasks import Asks, Stream, Task, Verdict, build, registry
from physlm.tasks.mano import ManoConfig

ASKING = [name for name, cls in registry.items() if issubclass(cls, Asks)]
COUNT = 60


def tiny(name: str) -> Task[Any]:
    cls = registry[name]
    return cls(cls.config_type.model_validate(cls.presets["tiny"]))


def decoder_of(task: Task[Any], members: int = 1) -> Decoder:
    decoder = Decoder(parse({"type": "gpt2", "layers": 1, "heads": 1, "width": 8}), len(task.vocabulary), members)
    initialise(decoder, list(range(members)))
    return decoder.eval()


class Reader:
    """Stands for a model that goes on with the text that a prompt is from, whatever is given to it as a model."""

    def __init__(self, task: Task[Any], seed: int, *, spoil: int = 0) -> None:
        self.rest: dict[tuple[int, ...], list[int]] = {}
        for knobs in languages(task).values():
            own = variant(task, knobs)
            instances = own.sample(Stream("test", seed), np.arange(COUNT))
            for i in range(COUNT):
                prompt = own.prompt(instances, i)
                rest = [*instances[i][len(prompt) :].tolist(), task.separator, -5, -5]
                self.rest[tuple(prompt.tolist())] = [-7] * spoil + rest[spoil:]

    def generate(self, _: Decoder, prompts: Sequence[Sequence[Prompt]], **__: Any) -> list[list[Written]]:
        return [[self._go_on(prompt) for prompt in own] for own in prompts]

    def _go_on(self, prompt: Prompt) -> Written:
        rest = self.rest[tuple(prompt.tokens.tolist())]
        stop = next((i for i, token in enumerate(rest) if token in prompt.stop), len(rest))
        tokens = np.array(rest[: min(stop + 1, prompt.limit)], np.int32)
        return Written(tokens, stop < prompt.limit, 0.0)


@pytest.mark.parametrize("name", ASKING)
def test_a_reader_of_the_text_is_always_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny(name)
    monkeypatch.setattr(generation, "generate", Reader(task, 3).generate)
    found = ask(decoder_of(task), [Member(task, 3, task.max_length, 1)], COUNT)[0]
    assert list(found) == list(languages(task))
    for evaluation, answers in found.items():
        wrong = [verdict.reason for verdict in answers.verdicts if not verdict.correct]
        assert not wrong, f"{evaluation}: {wrong[0]}"


@pytest.mark.parametrize("name", ASKING)
def test_who_misreads_the_first_token_is_always_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny(name)
    monkeypatch.setattr(generation, "generate", Reader(task, 3, spoil=1).generate)
    for answers in ask(decoder_of(task), [Member(task, 3, task.max_length, 1)], COUNT)[0].values():
        assert not answers.right.any()


@pytest.mark.slow
def test_every_evaluation_is_measured_by_operations_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tiny("igsm")
    monkeypatch.setattr(generation, "generate", Reader(task, 3).generate)
    monkeypatch.setattr(Accuracy, "samples", COUNT)
    rows = Accuracy().evaluate(decoder_of(task), [Member(task, 3, task.max_length, 1)])[0]
    whole = {row.measure: row for row in rows if row.position is None}
    assert {"accuracy", "accuracy.op_5", "accuracy.op_7", "accuracy.reask", "answer.retries.op_7"} < set(whole)
    assert (whole["accuracy"].value, whole["accuracy"].ceiling, whole["accuracy"].n) == (1.0, 1.0, COUNT)
    assert whole["accuracy"].chance == task.chance
    assert whole["answer.operations.op_7"].value == 7
    by_operations = [row for row in rows if row.measure == "accuracy" and row.target == BY_OPERATIONS]
    assert [row.position for row in by_operations] == [3, 4, 5]
    assert sum(row.n or 0 for row in by_operations) == COUNT
    assert [row.position for row in rows if row.measure == "accuracy.op_7" and row.position] == [7]


def test_members_answer_their_own_questions_in_any_company() -> None:
    tasks = [build(ManoConfig(operations=4, modulus=5, seed=seed)) for seed in (0, 0, 1)]
    members = [Member(task, seed, task.max_length, 1) for seed, task in enumerate(tasks)]
    together = decoder_of(tasks[0], 3)
    found = ask(together, members, COUNT)
    alone = decoder_of(tasks[0], 1)
    for name, parameter in alone.named_parameters():
        parameter.data.copy_(dict(together.named_parameters())[name][1:2])
    expected = ask(alone, members[1:2], COUNT)[0]
    for evaluation, answers in expected.items():
        assert [c.tolist() for c in found[1][evaluation].completions] == [c.tolist() for c in answers.completions]
        assert answers.operations.tolist() == found[1][evaluation].operations.tolist()
    assert found[0]["test"].instances.tokens.tolist() != found[1]["test"].instances.tokens.tolist()


def test_no_answer_is_longer_than_the_models_positions() -> None:
    task = tiny("igsm")
    config = parse({"type": "gpt2-absolute", "layers": 1, "heads": 1, "width": 8, "distances": 120})
    decoder = Decoder(config, len(task.vocabulary), 1).eval()
    initialise(decoder, [0])
    found = ask(decoder, [Member(task, 0, 120, 1)], 5)[0]["test"]
    prompts = [len(task.prompt(found.instances, i)) for i in range(5)]
    assert [len(c) + p for c, p in zip(found.completions, prompts, strict=True)] == [121] * 5  # the last is never read


def planted(right: Sequence[bool]) -> list[Observation]:
    task = tiny("mano")
    instances = task.sample(Stream("test", 0), np.arange(len(right)))
    verdicts = [Verdict(r, counts={"hints": 2.0} if i % 2 else {}) for i, r in enumerate(right)]
    return list(observations("full", Answers(task, instances, [instances[0]] * len(right), verdicts)))


def test_values_are_shares_and_means_of_what_is_counted() -> None:
    rows = {row.measure: row for row in planted([True] * 30 + [False] * 10) if row.position is None}
    assert (rows["accuracy.full"].value, rows["accuracy.full"].n) == (0.75, 40)
    assert (rows["answer.hints.full"].value, rows["answer.hints.full"].n) == (2.0, 20)


@pytest.mark.parametrize(("right", "n"), [(0, 20), (1, 400), (13, 50), (400, 400)])
def test_the_standard_error_is_half_of_wilsons_interval(right: int, n: int) -> None:
    found = standard_errors.share(np.arange(n) < right)
    interval = binomtest(right, n).proportion_ci(0.682689492137, "wilson")
    assert found == pytest.approx((interval.high - interval.low) / 2, rel=1e-6)
    assert found > 0


def test_answers_that_err_together_count_once() -> None:
    once = np.random.default_rng(0).random(500) < 0.3
    people = np.arange(500)
    together = standard_errors.share(np.repeat(once, 6), np.repeat(people, 6))
    assert together == pytest.approx(standard_errors.share(once), rel=0.02)
    assert standard_errors.share(once, people) == pytest.approx(standard_errors.share(once), rel=1e-9)


def test_a_task_without_questions_is_refused() -> None:
    assert Accuracy.unsupported_reason(tiny("biod")) == "biod asks no questions"
    with pytest.raises(UserError, match="biod asks no questions"):
        asking.ask(decoder_of(tiny("biod")), [Member(tiny("biod"), 0, 12, 1)], 3)
