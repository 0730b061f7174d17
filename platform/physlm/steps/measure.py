"""The step `measure`: numbers taken from trained models."""

from __future__ import annotations

from physlm.evaluation import jobs
from physlm.evaluation.jobs import Job
from physlm.experiment import Experiment
from physlm.steps.observing import ObservingStep
from physlm.steps.step import register


@register
class Measure(ObservingStep):
    """Take the experiment's measures from its trained models, in a process for each core or a rank for each GPU."""

    name = "measure"

    def jobs(self, experiment: Experiment) -> list[Job]:
        """Each measure, of all runs."""
        return jobs.measuring(experiment)
