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
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.registry import Registry
from physlm.tasks.task import Task

if TYPE_CHECKING:  # names and versions of probes are needed where there is no torch
    from physlm.models.decoder import Decoder


class ProbeConfig(BaseModel):
    """Knobs of a probe, as they stand in the experiment file: `probe: [{type: v, steps: 400}]`; this one has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Tell = Callable[[float], None]
"""Is told the share of the work that is done, now and then."""


def part_of(tell: Tell, before: float, part: float) -> Tell:
    """For a part of the work, a share of the whole, with another share done before."""
    return lambda share: tell(before + part * share)


class Probe(ABC):
    """Readouts trained on frozen models; a file of observations is kept for each probe, version and setting.

    Probes that take long say how far they are, to `tell`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the numbers of an unchanged model change
    config_type: ClassVar[type[ProbeConfig]] = ProbeConfig

    def __init__(self, config: ProbeConfig | None = None) -> None:
        self.config = self.config_type() if config is None else config
        self.tell: Tell = lambda share: None

    @classmethod
    @abstractmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        """What it reads of models of this task, with the number of classes; nothing if it doesn't suit the task."""

    @classmethod
    @abstractmethod
    def lack(cls) -> str:
        """What a task without targets has not got, to complete the sentence '<task> has ...'."""

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        """None if models of the task can be probed so, else the reason why not."""
        return None if cls.targets(task) else f"{task.name} has {cls.lack()}"

    @abstractmethod
    def read(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        """Observations of each of M members, which have their targets in common.

        decoder: 2·M frozen models, the members' in this order and then their twins before training.
        """

    @property
    def source(self) -> str:
        """Name of its file of observations; knobs that aren't at their defaults count."""
        changed = self.config.model_dump(mode="json", exclude_defaults=True)
        digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]
        return f"probe-{self.name}-v{self.version}{f'-{digest}' if changed else ''}"


registry: Registry[type[Probe]] = Registry("probe", "physlm.probes")
register = registry.register
