"""The steps of an experiment, one file each, over the store; the command line and every engine go by this registry.

    plan -> generate -> train -> measure -> probe -> collect -> fit -> report

Every step first looks at what the store already holds and does only the rest, so any of them may be killed and called
again. Steps hand nothing to each other but what they write. Their order follows from what each reads and writes.

A new step is a new file here; `physlm.steps.step` says what is in it.
"""

from physlm.steps.checks import check, known_names, open_experiment
from physlm.steps.events import Event, Listener, silent
from physlm.steps.order import in_order, run, with_quick_ones
from physlm.steps.step import Outcome, Pod, Step, registry

__all__ = [
    "Event",
    "Listener",
    "Outcome",
    "Pod",
    "Step",
    "check",
    "in_order",
    "known_names",
    "open_experiment",
    "registry",
    "run",
    "silent",
    "with_quick_ones",
]
