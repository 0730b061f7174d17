"""The order of the steps, which follows from what each reads and writes, and all of them run in it."""

from __future__ import annotations

from typing import Any

from physlm.errors import RegistrationError, UserError
from physlm.experiment import Experiment
from physlm.registry import nearest
from physlm.steps.events import Listener, silent
from physlm.steps.step import Step, registry
from physlm.store import Store


def before(step: type[Step]) -> set[str]:
    """Names of the steps that it must come right after: who writes what it reads, and those it names.

    Raises RegistrationError if nobody writes it, or there is no step of such a name.
    """
    found = set()
    for key in step.reads:
        writers = {other.name for other in registry.values() if key in other.writes} - {step.name}
        if not writers:
            raise RegistrationError(
                f"the step {step.name!r} ({registry.file_of(step.name)}) reads {key.__name__}, which no other step "
                "writes; name a key that one of them has among its `writes`"
            )
        found |= writers
    for name in step.after:
        if name not in registry:
            raise RegistrationError(
                f"the step {step.name!r} ({registry.file_of(step.name)}) comes after {name!r}, which is no step; "
                f"{nearest(name, list(registry))}"
            )
    return found | set(step.after)


def in_order() -> list[type[Step]]:
    """All steps, each after those that it depends on; of several that could be next the first by name.

    Raises RegistrationError for a circle, and as `before`.
    """
    waiting = {name: before(step) for name, step in registry.items()}
    found: list[type[Step]] = []
    while waiting:
        ready = next((name for name, needed in waiting.items() if not needed & waiting.keys()), None)
        if ready is None:
            raise RegistrationError(
                f"the steps {', '.join(waiting)} wait for each other: look at what they read, write and come after"
            )
        del waiting[ready]
        found.append(registry[ready])
    return found


def with_quick_ones(step: type[Step]) -> list[type[Step]]:
    """The step, and before it the quick ones that it depends on, also through each other, in their order."""
    wanted, left = {step.name}, [step]
    while left:
        quick = [registry[name] for name in before(left.pop()) if registry[name].quick and name not in wanted]
        wanted |= {one.name for one in quick}
        left += quick
    return [one for one in in_order() if one.name in wanted]


def run(store: Store, experiment: Experiment, on_event: Listener = silent, **options: Any) -> None:
    """All steps in their order in this process.

    options: of any of them; each step takes those that it has. Raises UserError for one that none has.
    """
    steps = in_order()
    known = sorted({name for step in steps for name in step.model_fields})
    for name in options:
        if name not in known:
            raise UserError(f"no step has the option {name!r}; {nearest(name, known)}")
    for step in steps:
        made = step(**{name: value for name, value in options.items() if name in step.model_fields})
        made.run(store, experiment, on_event)
