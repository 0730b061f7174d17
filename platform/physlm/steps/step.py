"""The Step contract: one thing done with an experiment, over the store.

A step is one file in this package that defines a `Step`; it is found and registered by itself, and then is a command
(`physlm <name> FILE`), a Kubeflow component, a part of the pipeline and a part of `physlm run`, at the place that
follows from what it reads and writes. The contract test (`tests/contracts/test_step.py`) tests it.

    @register
    class Export(Step):
        \"""Write the collected observations as CSV beside the page.\"""

        name = "export"
        reads = (layout.observations_key,)
        writes = (csv_key,)

        def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from physlm.experiment import Experiment
from physlm.registry import Registry
from physlm.steps.events import Listener, silent
from physlm.store import Store, layout

HOUR = 3600
DAY = 24 * HOUR

Key = Callable[..., str]
"""A kind of object in the store: the function that gives its key (see `physlm.store.layout`)."""

Shown = Literal["metrics", "summary", "page"]
"""What of an outcome Kubeflow shows beside the step."""

Processes = Annotated[int | None, Field(ge=1, description="Processes, one shard of the work each; one for each core.")]
Nproc = Annotated[int | None, Field(ge=1, description="Ranks in each of them, under torchrun; one for each GPU.")]


@dataclass(frozen=True)
class Pod:
    """What a step's pod gets.

    cpu            cores, as Kubernetes writes them
    memory         as Kubernetes writes it
    seconds        until it has failed
    accelerators   GPUs
    """

    cpu: str = "1"
    memory: str = "4Gi"
    seconds: int = HOUR
    accelerators: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a step has come to, for whoever asked for it alone.

    document   for programs, plain JSON
    summary    for people; empty where `rows` say it
    rows       a table for people, its columns by their heads
    metrics    numbers by name
    page       an HTML page
    """

    document: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    rows: Sequence[Mapping[str, str]] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    page: bytes = b""


class Step(BaseModel, ABC):
    """One thing done with an experiment; its fields are its options, the same wherever it runs. The docstring is its
    help text.

    name     as a command and a component
    reads    what it reads of that which other steps write: it comes after those
    writes   what it writes
    after    further steps that it comes after, by name
    pod      what its pod gets
    quick    whether it is so quick that it is done again before a later step that is asked for alone
    shows    what of its outcome Kubeflow shows
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    reads: ClassVar[tuple[Key, ...]] = (layout.experiment_file_key,)
    writes: ClassVar[tuple[Key, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()
    pod: ClassVar[Pod] = Pod()
    quick: ClassVar[bool] = False
    shows: ClassVar[tuple[Shown, ...]] = ()

    @abstractmethod
    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> Any:
        """Do what the store doesn't hold yet. Raises PhyslmError with one sentence, Interrupted on Ctrl-C."""

    def missing(self, store: Store, experiment: Experiment) -> str | None:
        """Why it can't be done alone, with what the store holds and the file says; None if it can."""
        return None

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        """What it has come to, once it has been done."""
        return Outcome(summary=f"{self.name}: done")


registry: Registry[type[Step]] = Registry("step", "physlm.steps")
register = registry.register
