"""What measures and probes declare of the observations that they emit.

Pages, tables, help, checks and contract tests read the declarations: nothing else lists observations by name.

    Emission(
        "accuracy.<evaluation>",
        "1",
        "share of the questions of an evaluation that are answered right",
        better="higher",
        chance="the best answer that ignores the question",
        chance_is_exact=False,
        floor="no answer right",
        ceiling="all answers right",
        drawing=Columns("Accuracy by evaluation"),
    )
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal, TypeVar

from physlm.catalog.observations import Observation

Axis = Literal["layer", "position"]
_AXES: tuple[Axis, ...] = ("layer", "position")

ENTROPY = "the entropy of the language"
"""The floor of losses: learning curves are drawn with it."""


@dataclass(frozen=True)
class Panel:
    """A small panel against the knob that varies most, and a column in the table of runs."""


@dataclass(frozen=True)
class Lines:
    """A line over positions for each condition. Variants (`.<evaluation>`) that have one position only go on with it.

    title  of the section and of the figure
    axis   what positions are, such as "operations of the right answer"
    """

    title: str
    axis: str


@dataclass(frozen=True)
class Columns:
    """A column in a table of its own, with one row for each condition; those of equal title share the table."""

    title: str


@dataclass(frozen=True)
class BeforeAndAfter:
    """A row in the table of what goes on inside: after training, and before where `<name>.untrained` is emitted."""


@dataclass(frozen=True)
class LayerMap:
    """A heat map by layer and position, after training and before where `<name>.untrained` is emitted.

    axis     what columns are, such as "distance"
    title    what the map shows; emissions with equal titles, each with a `column` of its own, share a map
    finding  the beginning of a sentence that a number follows: "Attention puts most weight"
    caption  how to read it
    column   name of the map's one column that these observations, by layer alone, make up
    """

    axis: str
    title: str
    finding: str
    caption: str
    column: str | None = None


@dataclass(frozen=True)
class TargetMap:
    """A heat map of what a probe reads: targets by layer or position, with a table of the controls."""


Drawing = Panel | Lines | Columns | BeforeAndAfter | LayerMap | TargetMap

DrawingT = TypeVar("DrawingT", bound=Drawing)

UNTRAINED = ".untrained"
"""Ends the name of the same number taken of the same model before training."""

PANEL = Panel()
TARGET_MAP = TargetMap()


@dataclass(frozen=True)
class Emission:
    """One kind of observation that a measure or a probe may emit.

    name             of the observations; each `<word>` stands for a part of it without a dot, such as an evaluation
    unit             of values and levels; "1" for shares
    meaning          what the number is
    better           which direction is better; None for what describes and doesn't judge
    chance           what gets the chance level that every observation has; None if they have none
    chance_is_exact  whether a model that reads nothing gets that level; else it gets at most so much
    floor, ceiling   what the least and the largest value are that can be expected, where observations may tell them
    by               what observations of one name are told apart by; nothing for those of models as wholes
    target           the `target` of the observations, with `<word>` as in names
    variant_of       name of the emission of which this is the same in another evaluation of the task, if it is one
    drawing          how the page draws them; None if not at all
    """

    name: str
    unit: str
    meaning: str
    better: Literal["higher", "lower"] | None = None
    chance: str | None = None
    chance_is_exact: bool = True
    floor: str | None = None
    ceiling: str | None = None
    by: tuple[Axis, ...] = ()
    target: str | None = None
    variant_of: str | None = None
    drawing: Drawing | None = None

    @cached_property
    def name_pattern(self) -> re.Pattern[str]:
        """What the names of the observations match in full."""
        return _pattern(self.name)

    def matches(self, observation: Observation) -> bool:
        """Whether an observation is of this kind, going by its name, target and place."""
        by = tuple(axis for axis in _AXES if getattr(observation, axis) is not None)
        if by != self.by or not self.name_pattern.fullmatch(observation.measure):
            return False
        if self.target is None or observation.target is None:
            return self.target == observation.target
        return _pattern(self.target).fullmatch(observation.target) is not None

    def fault(self, observation: Observation) -> str | None:
        """What an observation of this kind says that isn't declared, in a sentence; None if all is well."""
        if observation.unit != self.unit:
            return f"{observation.measure} comes in {observation.unit!r}, but its declaration says {self.unit!r}"
        for level in ("chance", "floor", "ceiling"):
            if getattr(observation, level) is not None and getattr(self, level) is None:
                return (
                    f"{observation.measure} has a {level} of {getattr(observation, level):g}, but its declaration "
                    f"names none: say what it is by Emission({self.name!r}, ..., {level}='...')"
                )
        return None


def find(emissions: Iterable[Emission], observation: Observation) -> Emission | None:
    """The declaration of an observation: of several that match, the one that spells out most of the name."""
    found = [emission for emission in emissions if emission.matches(observation)]
    return max(found, key=_spelt, default=None)


class Declarations:
    """What all measures and probes emit, found by the names of observations."""

    def __init__(self, emissions: Iterable[Emission]) -> None:
        self._emissions = list(emissions)
        self._known: dict[str, list[Emission]] = {}

    def of(self, name: str) -> list[Emission]:
        """The declarations of a name: of models as wholes, layers, positions and targets; none if it isn't declared."""
        if name not in self._known:
            found = [emission for emission in self._emissions if emission.name_pattern.fullmatch(name)]
            spelt = max(map(_spelt, found), default=0)
            self._known[name] = [emission for emission in found if _spelt(emission) == spelt]
        return self._known[name]

    def whole(self, name: str) -> Emission | None:
        """The declaration of a name for models as wholes."""
        return next((emission for emission in self.of(name) if not emission.by), None)

    def drawn_as(self, drawing: type[DrawingT]) -> list[tuple[Emission, DrawingT]]:
        """All emissions that are drawn in this way, in their order."""
        return [(emission, emission.drawing) for emission in self._emissions if isinstance(emission.drawing, drawing)]


def faults(emissions: Sequence[Emission], observations: Iterable[Observation]) -> Iterator[str]:
    """What isn't as it is declared, a sentence for each such observation."""
    known: dict[tuple[Any, ...], Emission | None] = {}
    for observation in observations:
        places = tuple(axis for axis in _AXES if getattr(observation, axis) is not None)
        kind = (observation.measure, observation.target, places)
        if kind not in known:
            known[kind] = find(emissions, observation)
        emission = known[kind]
        fault = _undeclared(emissions, observation, places) if emission is None else emission.fault(observation)
        if fault is not None:
            yield fault


def _undeclared(emissions: Sequence[Emission], observation: Observation, places: Sequence[Axis]) -> str:
    text = observation.measure
    text += f" of the target {observation.target!r}" if observation.target is not None else ""
    text += f" by {' and '.join(places)}" if places else ""
    declared = ", ".join(dict.fromkeys(emission.name for emission in emissions)) or "nothing"
    return f"{text} is not declared: add an Emission of that name, target and place to `emits`, which has {declared}"


def with_untrained(emission: Emission) -> list[Emission]:
    """The emission and its control `<name>.untrained`: the same number of the same model before training."""
    control = replace(
        emission,
        name=f"{emission.name}{UNTRAINED}",
        meaning=f"{emission.meaning}, before training",
        drawing=None,
    )
    return [emission, control]


def _spelt(emission: Emission) -> int:
    """How many letters of the name are given."""
    return len(re.sub(r"<\w+>", "", emission.name))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"<\w+>", template)
    return re.compile(r"[^.]+".join(map(re.escape, parts)))
