"""Contamination: a part of another task's evaluation set leaks into its training, so that a score's gain is measured.

What leaks from the run's own test stream is shown word by word, paraphrased (as the inner task can: the same truth,
rendered otherwise), or translated: every token replaced by its twin in a second alphabet. A leaked sample:

    config     inner={"type":"mano","operations":1,"modulus":5} form=translated spacing=2
    text       <s>  <len_1>′  +′  2′  4′  <ans>′   1′
    loss         1        1    1   1   1       1    1     as in the inner task
    value       -1       -1    1   2   4      -1   -1     the inner task's labels
    leaked     826      826  826 826 826     826  826     its place in the evaluation set; -1: not leaked

In tests the same label tells which instances have leaked: the gain is the accuracy on these less that on the others.
Where the inner task counts exposures, each leaked instance is shown `repetitions` times in every exposure; in endless
data so often in all, one in each `spacing` instances from the start, and nothing leaks afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    FieldSerializationInfo,
    SerializeAsAny,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from physlm import randomness
from physlm.errors import UserError
from physlm.tasks.answers import LazyLabels, readable
from physlm.tasks.bios import Bios, BiosConfig
from physlm.tasks.capabilities import (
    Asks,
    CountsKnowledge,
    HasDistractors,
    HasEntropy,
    HasParaphrases,
    HasProbeQuestions,
    HasWorld,
    Knowledge,
    Probed,
    Questions,
    Verdict,
    require,
    supports,
    unsupported_reason,
    without_distractors,
)
from physlm.tasks.task import Axis, Instances, Stream, Task, TaskConfig, build, register, registry

MARK = "′"  # behind words of the second alphabet


class ContaminationConfig(TaskConfig):
    """Knobs of the leak; `seed` chooses what leaks, the inner task's own seed makes its world."""

    type: Literal["contamination"] = "contamination"
    inner: SerializeAsAny[TaskConfig] = Field(
        BiosConfig.model_validate(Bios.presets["tiny_qa"]), description="the task whose evaluation set leaks"
    )
    evaluation: str | None = Field(
        None, description="the inner task's published condition of evaluation that leaks; if not given, its test split"
    )
    evaluation_size: int = Field(1000, ge=1, le=10**8, description="instances of the evaluation set")
    fraction: float = Field(0.5, ge=0, le=1, description="share of the evaluation set that leaks")
    form: Literal["verbatim", "paraphrased", "translated"] = Field(
        "verbatim", description="leaked word by word, in another wording each time, or in a second alphabet"
    )
    repetitions: int = Field(
        1,
        ge=1,
        le=10**6,
        description="times that each leaked instance is shown: in an exposure, or in endless data",
    )
    spacing: int = Field(10, ge=1, le=10**6, description="instances of endless data to one leaked, until all are")

    @field_validator("inner", mode="before")
    @classmethod
    def _is_a_task(cls, value: Any) -> TaskConfig:
        if isinstance(value, TaskConfig):
            return value
        known = sorted(registry)
        if not isinstance(value, Mapping) or value.get("type") not in known:
            raise ValueError(f"inner: must be the knobs of a task, its type one of {', '.join(known)}")
        try:
            return registry[value["type"]].config_type.model_validate(value)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(["inner", *map(str, problem["loc"])])
            raise ValueError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from None

    @field_serializer("inner")
    def _with_its_type(self, inner: TaskConfig, info: FieldSerializationInfo) -> dict[str, Any]:
        knobs = inner.model_dump(mode=info.mode, exclude_defaults=info.exclude_defaults)
        return {**knobs, "type": inner.type}

    @model_validator(mode="after")
    def _can_leak(self) -> ContaminationConfig:
        if isinstance(self.inner, ContaminationConfig):
            raise ValueError("inner: a leak into a leak isn't told apart; give the task whose evaluation set leaks")
        inner = build(self.inner)
        evaluations = inner.evaluations if supports(inner, Asks) else {}
        if self.evaluation is not None and self.evaluation not in evaluations:
            named = ", ".join(evaluations) or "none"
            raise ValueError(f"evaluation: {inner.name} with these knobs has {named}, not {self.evaluation!r}")
        if self.form == "paraphrased" and (reason := unsupported_reason(inner, HasParaphrases)):
            raise ValueError(f"form: {reason}; leak it verbatim or translated")
        return self

    @property
    def leaked(self) -> int:
        """Instances of the evaluation set that leak."""
        return round(self.fraction * self.evaluation_size)


class LeakedTruth(NamedTuple):
    """A truth of the inner task, and whether its instance is translated."""

    translated: bool
    truth: Any


@dataclass(frozen=True)
class Parts(Sequence[LeakedTruth]):
    """Truths of instances that come from two sources: the inner task's own (0), and what leaked (1).

    sources  each source's instances, as the inner task made them
    source   int64 [n]: where instance i comes from; row, int64 [n]: its place there
    """

    sources: tuple[Instances, Instances]
    source: NDArray[np.int64]
    row: NDArray[np.int64]
    translated: bool

    def __len__(self) -> int:
        return len(self.source) if len(self.sources[0].truth) or len(self.sources[1].truth) else 0

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        source = int(self.source[i])
        return LeakedTruth(self.translated and source == 1, self.sources[source].truth[int(self.row[i])])


@register
class Contamination(
    Asks[ContaminationConfig],
    HasEntropy[ContaminationConfig],
    HasWorld[ContaminationConfig],
    CountsKnowledge[ContaminationConfig],
    HasDistractors[ContaminationConfig],
    Probed[ContaminationConfig],
    HasProbeQuestions[ContaminationConfig],
):
    """Another task, with a leak."""

    config_type = ContaminationConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {},
        "tiny_paraphrased": {"form": "paraphrased", "evaluation": "questions"},
        "tiny_translated": {"form": "translated", "evaluation": "questions"},
    }

    def __init__(self, config: ContaminationConfig) -> None:
        super().__init__(config)
        self.inner = build(config.inner)
        overrides = require(self.inner, Asks).evaluations[config.evaluation] if config.evaluation else {}
        self._evaluated = build(config.inner.model_copy(update=dict(overrides))) if overrides else self.inner

    @property
    def revision(self) -> int:
        return 1000 * self.version + self.inner.revision

    def restriction(self, capability: type[Task[Any]]) -> str | None:
        """All but leaks is the inner task's, and so is what it lacks."""
        reason = None if capability is HasDistractors else unsupported_reason(self.inner, capability)
        return None if reason is None else f"contamination: {reason}"

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """The inner task's; where leaks are translated, all its words once more, marked with a prime."""
        words = list(self.inner.vocabulary)
        return [*words, *(word + MARK for word in words)] if self._translates else words

    @property
    def _translates(self) -> bool:
        return self.config.form == "translated"

    @property
    def separator(self) -> int:
        return self.inner.separator

    @property
    def population(self) -> int | None:
        """The inner task's exposure and the leaks that go with it."""
        inner = self.inner.population
        return None if inner is None else inner + self._leaks

    @property
    def without_distractors(self) -> Task[ContaminationConfig]:
        """The inner task's, without leaks."""
        update = {"inner": without_distractors(self.inner).config, "fraction": 0.0, "evaluation": None}
        return Contamination(self.config.model_copy(update=update))

    @property
    def used_tokens(self) -> int:
        used = self.inner.used_tokens
        return used + self._evaluated.used_tokens - 1 if self._translates and self.config.leaked else used

    @property
    def max_length(self) -> int:
        return max(self.inner.max_length, self._evaluated.max_length)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("fraction", "amount", "how much of the evaluation set leaks"),
            Axis("repetitions", "amount", "how often it is shown"),
            Axis("form", "type", "how it is told"),
            Axis("spacing", "format", "how thinly it is spread over endless data"),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The inner task's; in the one that leaks, the label `leaked` tells what was seen in training."""
        return {
            name: {
                "inner": self.config.inner.model_copy(update=dict(overrides)),
                "evaluation": None,
                **({} if name == self.config.evaluation else {"fraction": 0.0}),  # nothing of the others leaks
            }
            for name, overrides in require(self.inner, Asks).evaluations.items()
        }

    @property
    def chance(self) -> float | None:
        """The inner task's."""
        return require(self.inner, Asks).chance

    def floor(self) -> float:
        """The inner task's: tests are as it makes them."""
        return require(self.inner, HasEntropy).floor()

    def surprisal(self, instances: Instances) -> NDArray[np.float64] | None:
        """By the inner task, as if nothing had leaked."""
        parts: Parts = instances.truth  # type: ignore[assignment]
        surprisal = np.empty(len(instances))
        for number, (task, source) in enumerate(zip((self.inner, self._evaluated), parts.sources, strict=True)):
            found = require(task, HasEntropy).surprisal(source)
            if found is None:
                return None
            here = parts.source == number
            surprisal[here] = found[parts.row[here]]
        return surprisal

    @property
    def knowledge(self) -> Knowledge:
        return require(self.inner, CountsKnowledge).knowledge

    def facts(self) -> Mapping[str, NDArray[Any]]:
        return require(self.inner, HasWorld).facts()

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return require(self.inner, Probed).probe_targets

    @property
    def probe_ends(self) -> Mapping[str, str]:
        return require(self.inner, Probed).probe_ends

    @property
    def probe_place(self) -> str | None:
        return require(self.inner, Probed).probe_place

    @property
    def clusters(self) -> str | None:
        return self.inner.clusters

    @property
    def question_targets(self) -> Mapping[str, int]:
        return require(self.inner, HasProbeQuestions).question_targets

    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        """The inner task's; raises UserError for the training stream, whose instances aren't all its own."""
        if stream.split == "train":
            raise UserError("contamination: probes ask about instances for tests, not for training")
        return require(self.inner, HasProbeQuestions).questions(target, stream, indices)

    # -- what leaks ----------------------------------------------------------------------------------------------------

    @property
    def _leaks(self) -> int:
        """Leaked instances that are shown in an exposure, or in all of endless data."""
        return self.config.leaked * self.config.repetitions

    @cached_property
    def _leaked(self) -> NDArray[np.int64]:
        """Places in the evaluation set of all that leaks, int64 [leaked], in a random order."""
        c = self.config
        ranks = np.arange(c.leaked, dtype=np.int64)
        key = randomness.key("contamination", "leaked", c.seed)
        return randomness.places(key, np.zeros(c.leaked, np.int64), c.evaluation_size, ranks)

    def leaked(self) -> NDArray[np.int64]:
        """Places in the test stream of all that leaks into the training stream of the same seed, ascending."""
        return np.sort(self._leaked)

    def leaks_shown(self, instances: int) -> int:
        """Leaked instances among the first so many of a training stream; exact at the end of each exposure."""
        if self.population is None:
            return min(instances // self.config.spacing, self._leaks)
        return instances * self._leaks // self.population

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """The inner task's instances, and in training what leaks of its tests. Labels, beside the inner task's:

        leaked  the instance's place in the evaluation set; in training of what leaked, in tests of what leaks; else -1
        """
        if stream.split != "train":
            whole = self.inner.sample(stream, indices)
            seen = np.zeros(self.config.evaluation_size, np.bool_)
            seen[self._leaked] = self.config.evaluation is None and stream.split == "test"
            known = np.flatnonzero(indices < len(seen))
            place = np.full(len(indices), -1, np.int64)
            place[known] = np.where(seen[indices[known]], indices[known], -1)
            nothing = self._evaluated.sample(stream, indices[:0])
            return self._merged(whole, nothing, np.zeros(len(indices), np.int64), place)
        leak, own = self._shown(stream, indices)
        turn, rank = np.divmod(leak, max(1, self.config.leaked))
        among = np.flatnonzero(leak >= 0)
        place = np.full(len(indices), -1, np.int64)
        key = stream.key("contamination", "order", self.config.seed)
        place[among] = self._leaked[randomness.places(key, turn[among], max(1, self.config.leaked), rank[among])]
        clean = self.inner.sample(stream, own[leak < 0])
        return self._merged(clean, self._leak(stream, place[among], turn[among]), (leak >= 0).astype(np.int64), place)

    def _shown(self, stream: Stream, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which leak comes at these places (-1: none), and which of the inner task's instances (else)."""
        c = self.config
        key = stream.key("contamination", "places", c.seed)
        if self.inner.population is not None:
            assert self.population is not None
            exposure, slot = np.divmod(indices, self.population)
            at = randomness.places(key, exposure, self.population, slot)
            leak = at - self.inner.population
            own = exposure * self.inner.population + at
            return np.where(leak >= 0, exposure * self._leaks + leak, -1), own
        block, slot = np.divmod(indices, c.spacing)
        where = randomness.scaled(randomness.words(key, block, 1)[:, 0], c.spacing)
        leak = np.where((slot == where) & (block < self._leaks), block, -1)
        before = np.minimum(block, self._leaks) + ((slot > where) & (block < self._leaks))
        return leak, indices - before

    def _leak(self, stream: Stream, place: NDArray[np.int64], turn: NDArray[np.int64]) -> Instances:
        """Instances of the evaluation set as they leak."""
        tests = Stream("test", stream.seed)
        if self.config.form != "paraphrased":
            return self._evaluated.sample(tests, place)
        batches = [
            (rows, require(self._evaluated, HasParaphrases).paraphrase(tests, place[rows], int(number)))
            for number in np.unique(turn)
            for rows in [np.flatnonzero(turn == number)]
        ]
        if not batches:
            return self._evaluated.sample(tests, place)
        order = np.argsort(np.concatenate([rows for rows, _ in batches]))
        truths = [truth for _, batch in batches for truth in batch.truth]
        return _gathered([batch for _, batch in batches], order, [truths[i] for i in order] if truths else ())

    def _merged(
        self, clean: Instances, leaks: Instances, source: NDArray[np.int64], place: NDArray[np.int64]
    ) -> Instances:
        row = np.empty(len(source), np.int64)
        for number in (0, 1):
            row[source == number] = np.arange((source == number).sum())
        order = row + source * len(clean)
        shown = leaks
        if self._translates:
            tokens = leaks.tokens + np.int32(len(self.inner.vocabulary)) * (leaks.tokens != self.separator)
            shown = Instances(tokens.astype(np.int32), leaks.offsets, leaks.loss, leaks.labels)
        merged = _gathered([clean, shown], order, ())
        labels: dict[str, Callable[[], NDArray[np.int32]]] = {
            name: lambda name=name: merged.labels[name]  # type: ignore[misc]
            for name in merged.labels
        }
        labels["leaked"] = lambda: np.repeat(place.astype(np.int32), merged.lengths)
        truth = Parts((clean, leaks), source, row, self._translates)
        return Instances(merged.tokens, merged.offsets, merged.loss, LazyLabels(labels), truth)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _inside(self, instances: Instances, i: int) -> tuple[Asks[Any], Instances, int, bool]:
        """Instance i as the inner task made it."""
        parts: Parts = instances.truth  # type: ignore[assignment]
        source = int(parts.source[i])
        task = self._evaluated if source else self.inner
        return require(task, Asks), parts.sources[source], int(parts.row[i]), self._translates and source == 1

    def _rendered(self, tokens: NDArray[np.int32], translated: bool) -> NDArray[np.int32]:
        if not translated:
            return tokens
        second = tokens + np.int32(len(self.inner.vocabulary))
        return np.where(tokens == self.separator, tokens, second).astype(np.int32)

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The inner task's."""
        if not isinstance(instances.truth, Parts):
            raise UserError("contamination: prompts are made of this task's own instances")
        task, source, row, translated = self._inside(instances, i)
        return self._rendered(task.prompt(source, row), translated)

    @property
    def temperature(self) -> float:
        """The inner task's."""
        return require(self.inner, Asks).temperature

    def completion(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """The inner task's."""
        task, source, row, translated = self._inside(instances, i)
        return self._rendered(task.completion(source, row), translated)

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """By the inner task; a translated question wants a translated answer."""
        if not truth.translated:
            return require(self.inner, Asks).verify(truth.truth, completion)
        tokens = readable(completion)
        words = len(self.inner.vocabulary)
        back = np.where((tokens >= words) & (tokens < 2 * words), tokens - words, -1)
        own = np.where(tokens == self.separator, tokens, back).astype(np.int32)
        return require(self.inner, Asks).verify(truth.truth, own)


def _gathered(batches: Sequence[Instances], order: NDArray[np.int64], truth: Sequence[Any]) -> Instances:
    """Instances of several batches, put one after the other, in this order; truth: theirs in this order."""
    lengths = np.concatenate([batch.lengths for batch in batches])
    starts = np.cumsum(lengths) - lengths
    offsets = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    token = np.repeat(starts[order] - offsets[:-1], lengths[order]) + np.arange(offsets[-1])
    # Leaks are of the same task as the rest, so they have the same labels.
    labels: dict[str, Callable[[], NDArray[np.int32]]] = {
        name: lambda name=name: np.concatenate([batch.labels[name] for batch in batches])[token]  # type: ignore[misc]
        for name in batches[0].labels
    }
    return Instances(
        np.concatenate([batch.tokens for batch in batches])[token],
        offsets,
        np.concatenate([batch.loss for batch in batches])[token],
        LazyLabels(labels),
        truth,
    )
