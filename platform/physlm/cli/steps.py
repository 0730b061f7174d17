"""A command for each step: made of the step, so that a new one has its command by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from rich.table import Table

from physlm import docstrings
from physlm.cli import console
from physlm.cli.arguments import DEFAULT_STORE, File, Json, StoreOption, load
from physlm.errors import UserError
from physlm.steps.order import in_order, with_quick_ones
from physlm.steps.step import Outcome, Step, registry
from physlm.store import open_store


def add_to(app: typer.Typer) -> None:
    """Register a command for each step, except where there is one of its name already that says more."""
    taken = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    for step in in_order():
        if step.name not in taken:
            example = f"Example: physlm {step.name} pipelines/experiments/capacity.yaml --store ./results"
            app.command(step.name, epilog=example)(_command(step))


def _command(step: type[Step]) -> Callable[..., None]:
    def command(file: File, store: StoreOption = DEFAULT_STORE, as_json: Json = False, **options: Any) -> None:
        alone(step(**given(options)), file, store, as_json)

    command.__doc__ = docstrings.of_class(step)
    return with_options(command, [step])


def alone(step: Step, file: Path, address: str, as_json: bool) -> None:
    """Do one step with an experiment, after the quick ones that it depends on, and print what it has come to."""
    experiment, store = load(file), open_store(address)
    *first, _ = with_quick_ones(type(step))
    with console.progress(quiet=as_json) as on_event:
        for quick in first:
            quick().run(store, experiment, on_event)
        if reason := step.missing(store, experiment):
            raise UserError(reason)
        step.run(store, experiment, on_event)
    outcome = step.outcome(store, experiment)
    if as_json:
        console.print_json({"experiment": experiment.name, "store": store.url, **outcome.document})
    else:
        show(outcome)


def show(outcome: Outcome) -> None:
    """Print an outcome for people."""
    if outcome.rows:
        table = Table(box=None, pad_edge=False)
        for head in outcome.rows[0]:
            is_text = any(row[head].strip("-+").isalpha() for row in outcome.rows)
            table.add_column(head, overflow="fold", justify="left" if is_text else "right")
        for row in outcome.rows:
            table.add_row(*row.values())
        console.output.print(table)
    if outcome.summary:
        console.output.print(outcome.summary)


def with_options(command: Callable[..., None], steps: Iterable[type[Step]]) -> Callable[..., None]:
    """The command with the options of these steps in place of its `**options`."""
    fields = {name: field for step in steps for name, field in step.model_fields.items()}
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [*own, *(_parameter(name, field) for name, field in fields.items())]
    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = signature.replace(parameters=keyword)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in keyword}
    return command


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that were set to something else than their defaults: not every engine takes all of them."""
    defaults = {name: field.default for step in registry.values() for name, field in step.model_fields.items()}
    return {name: value for name, value in options.items() if value is not None and value != defaults.get(name)}


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """A field as an option of the command line, with its limits and its description."""
    option = typer.Option(min=_limit(field.metadata, "ge"), max=_limit(field.metadata, "le"), help=field.description)
    annotation: Any = Annotated.__class_getitem__((field.annotation, option))  # type: ignore[attr-defined]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)


def _limit(limits: Sequence[Any], name: str) -> Any:
    return next((getattr(limit, name) for limit in limits if hasattr(limit, name)), None)
