"""The engine `local`: all steps in this process, which starts others for what takes long."""

from __future__ import annotations

from typing import Any

from physlm import steps
from physlm.engines.engine import register
from physlm.experiment import Experiment
from physlm.steps import Listener, silent
from physlm.store import open_store


@register
def local(experiment: Experiment, store: str, on_event: Listener = silent, **options: Any) -> None:
    """Run all steps in their order. options: of any of them; UserError for one that none has."""
    steps.run(open_store(store), experiment, on_event, **options)
