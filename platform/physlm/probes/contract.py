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

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from physlm.catalog import Observation
from physlm.measures.contract import Member
from physlm.tasks.contract import Task

if TYPE_CHECKING:  # names and versions of probes are needed where there is no torch
    from physlm.models.decoder import Decoder


class Probe(ABC):
    """Readouts trained on frozen models; a file of observations is kept for each probe and version."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the numbers of an unchanged model change

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

    @classmethod
    def source(cls) -> str:
        """Name of its file of observations."""
        return f"probe-{cls.name}-v{cls.version}"


_REGISTRY: dict[str, type[Probe]] = {}
ProbeT = TypeVar("ProbeT", bound=type[Probe])


def register(cls: ProbeT) -> ProbeT:
    """Make a probe known by its name."""
    _REGISTRY[cls.name] = cls
    return cls


def registry() -> Mapping[str, type[Probe]]:
    """All probes by name."""
    import physlm.probes  # importing the package registers its files

    assert physlm.probes
    return dict(sorted(_REGISTRY.items()))
