"""What can't be run as it is asked for: said before anything is written."""

from __future__ import annotations

from itertools import product

from physlm import experiment as experiments
from physlm import laws, measures, probes
from physlm.errors import ExperimentError
from physlm.experiment import Experiment
from physlm.steps.law_checks import unidentified_reason
from physlm.store import Store, layout


def known_names() -> dict[str, list[str]]:
    """Valid names of measures, probes and laws, for reading an experiment file."""
    return {"measure": measures.names(), "probe": list(probes.registry), "laws": list(laws.registry)}


def open_experiment(store: Store, key: str) -> Experiment:
    """The experiment whose file is stored under this key."""
    return experiments.parse(store.get(layout.experiment_file_key(key)).decode(), known_names())


def check(experiment: Experiment) -> None:
    """Raise ExperimentError if a measure or a probe doesn't support a task or a model, or a law can't be identified."""
    languages = list({run.task: run.language for run in experiment.runs}.values())
    models = list(dict.fromkeys(run.model for run in experiment.runs))
    for name in experiment.measures:
        for task, model in product(languages, models):
            if reason := measures.find(name).unsupported_reason(task, model):
                raise ExperimentError(f"measure: {name} can't be taken: {reason}")
    for name, knobs in experiment.probes.items():
        probe = probes.make(name, knobs)
        for task, model in product(languages, models):
            if reason := probe.unsupported_reason(task, model):
                raise ExperimentError(f"probe: {name} can't be trained: {reason}")
    for name in experiment.file.laws:
        if reason := unidentified_reason(experiment, name):
            raise ExperimentError(f"laws: {reason}")
