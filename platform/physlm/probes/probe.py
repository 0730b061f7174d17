"""The Probe contract: what can be read from the frozen states of trained models, a cohort at a time.

A probe is one file with a `Probe` class in it; importing the package registers it. Its observations are named
`probe.<probe>.<target>`: the share of readings that are right, at instances that it wasn't trained on, with the
majority class as `chance`. Controls stand beside it:

    ....untrained     the same probe on the same model before training (same seed, its initial parameters)
    ....shuffled      the same probe trained and tested on labels exchanged among instances, each with one at the same
                      place: what place and frequency alone tell
    ....selectivity   accuracy less that on a control task, where the class is a random function of the last
                      few tokens (Hewitt and Liang 2019): how much of the reading isn't the probe's own doing

Rows with a layer (0 is the embedding) or a position say where it was read; the row without either is the probe's
number for the model. Standard errors are clustered by instance, or by what the task says instances share.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from physlm.catalog import Emission, Observation
from physlm.catalog.emission import TARGET_MAP, Axis
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.registry import Registry
from physlm.tasks.task import Task

if TYPE_CHECKING:  # names and versions of probes are needed where there is no torch
    from physlm.models.decoder import Decoder


class ProbeConfig(BaseModel):
    """Knobs of a probe, as they stand in the experiment file: `probe: [{type: v, steps: 400}]`; this one has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Progress = Callable[[float], None]
"""Is called now and then with the share of the work that is done."""


def part_of(progress: Progress, before: float, part: float) -> Progress:
    """For a part of the work, a share of the whole, with another share done before."""
    return lambda share: progress(before + part * share)


class Probe(ABC):
    """Readouts trained on frozen models; a file of observations is kept for each probe, version and setting.

    Probes that take long call `progress`. What they emit follows from their targets, unless they say otherwise.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the numbers of an unchanged model change
    config_type: ClassVar[type[ProbeConfig]] = ProbeConfig
    axis: ClassVar[Axis] = "layer"  # what readings of one target are told apart by

    def __init__(self, config: ProbeConfig | None = None) -> None:
        self.config = self.config_type() if config is None else config
        self.progress: Progress = lambda share: None

    @classmethod
    @abstractmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        """What it reads of models of this task, with the number of classes; nothing if it doesn't suit the task."""

    @classmethod
    @abstractmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        """Why models trained on this task, or these models of it, can't be probed so; None if they can."""

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        """The kinds of observations of models trained on this task; without one, all that there may be."""
        targets = ["<target>"] if task is None else list(cls.targets(task))
        return [emission for target in targets for emission in readings(cls.name, target, cls.axis)]

    @abstractmethod
    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        """Observations of each of M members, which have their targets in common.

        decoder: 2·M frozen models, the members' in this order and then their twins before training.
        """

    @property
    def source(self) -> str:
        """Name of its file of observations; knobs that aren't at their defaults count."""
        changed = self.config.model_dump(mode="json", exclude_defaults=True)
        digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
        return f"probe-{self.name}-v{self.version}{f'-{digest}' if changed else ''}"


def readings(probe: str, target: str, axis: Axis) -> list[Emission]:
    """Declarations of the accuracy of one target, as a whole and at each place, with its controls."""
    name = f"probe.{probe}.{target}"
    whole = Emission(
        name,
        "1",
        f"share of unseen readings of {target} that are right",
        better="higher",
        chance="always the class that is most frequent in training",
        floor="no reading right",
        ceiling="every reading right",
        target=target,
        drawing=TARGET_MAP,
    )
    place = replace(whole, by=(axis,))
    return [
        whole,
        place,
        replace(place, name=f"{name}.untrained", meaning=f"{place.meaning}, of the model before training"),
        replace(place, name=f"{name}.shuffled", meaning=f"{place.meaning}, of labels exchanged among instances"),
        replace(
            place,
            name=f"{name}.selectivity",
            meaning=f"{place.meaning}, less that of a random function of the last tokens",
            chance=None,
            floor=None,
            ceiling=None,
        ),
    ]


registry: Registry[type[Probe]] = Registry("probe", "physlm.probes")
register = registry.register
