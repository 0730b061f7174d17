"""Commands on measures and probes: which there are, what each emits, what it can be taken of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from physlm import measures, probes, tasks
from physlm.catalog import Emission
from physlm.cli import console
from physlm.cli.arguments import Json
from physlm.measures.measure import Measure
from physlm.probes.probe import Probe

MeasureName = Annotated[str, typer.Argument(metavar="MEASURE", help="Its name; `physlm measures list` shows them.")]
ProbeName = Annotated[str, typer.Argument(metavar="PROBE", help="Its name; `physlm probes list` shows them.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        name="measures",
        help="Measures: numbers taken from trained models.\n\nExample: physlm measures show accuracy",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("list", epilog="Example: physlm measures list")(list_measures)
    group.command("show", epilog="Example: physlm measures show accuracy")(show_measure)
    app.add_typer(group)
    group = typer.Typer(
        name="probes",
        help="Probes: what can be read from the states of trained models.\n\nExample: physlm probes show linear",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("list", epilog="Example: physlm probes list")(list_probes)
    group.command("show", epilog="Example: physlm probes show linear")(show_probe)
    app.add_typer(group)


def list_measures(as_json: Json = False) -> None:
    """All measures that an experiment may name, with the numbers that each emits.

    Each may also be taken of rounded weights, such as loss@int8.
    """
    _list("measure", measures.registry, as_json)


def list_probes(as_json: Json = False) -> None:
    """All probes that an experiment may name, with the numbers that each emits."""
    _list("probe", probes.registry, as_json)


def show_measure(measure: MeasureName, as_json: Json = False) -> None:
    """What a measure emits: names, units, meaning, chance levels, floors and ceilings; and the tasks it is for."""
    _show(measure, measures.find(measure), {}, as_json)


def show_probe(probe: ProbeName, as_json: Json = False) -> None:
    """What a probe emits, its knobs, and the tasks it is for."""
    cls = probes.registry[probe]
    knobs = {
        name: f"{field.description} (default {field.default})" for name, field in cls.config_type.model_fields.items()
    }
    _show(probe, cls, knobs, as_json)


def _list(noun: str, registry: Mapping[str, type[Measure | Probe]], as_json: bool) -> None:
    rows = {name: (_about(cls), list(dict.fromkeys(e.name for e in cls.emits()))) for name, cls in registry.items()}
    if as_json:
        console.print_json({name: {"about": about, "emits": emitted} for name, (about, emitted) in rows.items()})
        return
    table = Table(noun, "about", "emits", box=None, pad_edge=False)
    for name, (about, emitted) in rows.items():
        table.add_row(name, about, ", ".join(emitted))
    console.output.print(table)


def _show(name: str, cls: type[Measure | Probe], knobs: Mapping[str, str], as_json: bool) -> None:
    emissions = cls.emits()
    suited = [task for task, language in _languages().items() if cls.unsupported_reason(language) is None]
    if as_json:
        document = {"about": inspect.getdoc(cls) or "", "tasks": suited, "knobs": dict(knobs)}
        console.print_json({"name": name, **document, "emits": [_document(emission) for emission in emissions]})
        return
    console.output.print(f"{name}\n{inspect.getdoc(cls) or ''}\n")
    for emission in emissions:
        by = f" by {' and '.join(emission.by)}" if emission.by else ""
        target = f" of {emission.target}" if emission.target and emission.by else ""
        better = f", {emission.better} is better" if emission.better else ""
        console.output.print(f"{emission.name}{by}{target} ({emission.unit}{better})")
        console.output.print(f"    {emission.meaning}")
        for level in ("chance", "floor", "ceiling"):
            if words := getattr(emission, level):
                most = "at most: " if level == "chance" and not emission.chance_is_exact else ""
                console.output.print(f"    {level}: {most}{words}")
    for knob, meaning in knobs.items():
        console.output.print(f"knob {knob}: {meaning}")
    console.output.print(f"tasks: {', '.join(suited) or 'none with its tiny preset'}")


def _about(cls: type[Measure | Probe]) -> str:
    """The first sentence of what its file says."""
    text = inspect.getdoc(inspect.getmodule(cls)) or inspect.getdoc(cls) or ""
    return " ".join(text.split("\n\n")[0].split())


def _document(emission: Emission) -> dict[str, Any]:
    drawing = type(emission.drawing).__name__ if emission.drawing else None
    return {**asdict(emission), "drawing": drawing}


def _languages() -> dict[str, tasks.Task[Any]]:
    """Each task as its preset `tiny` has it."""
    return {
        name: tasks.build(cls.config_type.model_validate(cls.presets["tiny"])) for name, cls in tasks.registry.items()
    }
