"""The step `probe`: small readouts of trained models."""

from __future__ import annotations

from physlm import probes
from physlm.evaluation import jobs
from physlm.evaluation.jobs import Job
from physlm.experiment import Experiment
from physlm.steps.observing import ObservingStep
from physlm.steps.step import register
from physlm.store import Store


@register
class Probe(ObservingStep):
    """Train the experiment's probes on its trained models, in a process for each core or a rank for each GPU.

    An entry of `probe` in the file is a name, or a mapping with knobs, such as {type: v, steps: 400, batch: 64}.
    """

    name = "probe"

    def jobs(self, experiment: Experiment) -> list[Job]:
        """Each probe, of all runs."""
        return jobs.probing(experiment)

    def missing(self, store: Store, experiment: Experiment) -> str | None:
        """Probes in the file, or runs that are not trained."""
        if not experiment.probes:
            return f"{experiment.name}: probe: names no probe; known are {', '.join(probes.registry)}"
        return super().missing(store, experiment)
