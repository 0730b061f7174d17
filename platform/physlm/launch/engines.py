"""Engines that run an experiment elsewhere than in this process, found by name.

An engine is a function `(experiment, store_address, on_event=..., **options)`, named in the entry point group
`physlm.engines` of whatever package is installed; physlm's own are in `physlm_pipelines.engines`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from physlm.errors import UserError

Engine = Callable[..., Any]


def find(name: str) -> Engine:
    """The engine of that name. Raises UserError if there is none, or if it needs a package that isn't installed."""
    known = {point.name: point for point in entry_points(group="physlm.engines")}
    if name not in known:
        raise UserError(f"engine: {name!r} is not known; choose one of {', '.join(['local', *sorted(known)])}")
    try:
        engine: Engine = known[name].load()
    except ModuleNotFoundError as error:
        raise UserError(f"engine: {name} needs {error.name}; install it with: pip install 'physlm[kubeflow]'") from None
    return engine
