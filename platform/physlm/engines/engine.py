"""The Engine contract: a function that runs an experiment from its file to its laws and its page.

    @register
    def local(experiment: Experiment, store: str, on_event: Listener = silent, **options: Any) -> Any: ...

It is one file of this package, or an entry point of the group `physlm.engines` of whatever package is installed;
physlm's own of the latter kind are in `physlm_pipelines.engines`. Its name is what `physlm run --engine` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from physlm.registry import Registry

Engine = Callable[..., Any]
"""experiment, the store's address, a listener to events, and options by name: raises UserError for those it lacks."""

registry: Registry[Engine] = Registry("engine", "physlm.engines", lambda engine: str(engine.__name__))
register = registry.register
