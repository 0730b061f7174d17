"""The engines of installed packages, registered by their entry points and imported when they are called."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from physlm.engines.engine import Engine, register
from physlm.errors import UserError
from physlm.experiment import Experiment
from physlm.registry import nearest
from physlm.steps import Listener, silent


def imported_when_called(point: EntryPoint) -> Engine:
    """The engine of an entry point. It raises UserError for an option it lacks, and for a package it misses."""

    def run(experiment: Experiment, store: str, on_event: Listener = silent, **options: Any) -> Any:
        try:
            engine: Engine = point.load()
        except ModuleNotFoundError as error:
            raise UserError(
                f"engine: {point.name} needs {error.name}; install it with: pip install 'physlm[kubeflow]'"
            ) from None
        known = list(inspect.signature(engine).parameters)[3:]
        for name in options:
            if name not in known:
                raise UserError(f"the engine {point.name!r} has no option {name!r}; {nearest(name, known)}")
        return engine(experiment, store, on_event, **options)

    run.__name__, run.__module__, run.__qualname__ = point.name, point.module, point.attr
    return run


for _point in entry_points(group="physlm.engines"):
    register(imported_when_called(_point))
