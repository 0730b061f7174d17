"""Commands on architectures and their parts: list, show."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from physlm import docstrings, models, runs
from physlm.cli import console
from physlm.cli.arguments import Json
from physlm.errors import ExperimentError
from physlm.models import ModelConfig
from physlm.models.architecture import PARTS, own_knobs
from physlm.models.parts.part import Part
from physlm.registry import nearest
from physlm.training.memory import training_bytes

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A knob and its value; may be given many times.", metavar="KNOB=VALUE"),
]
Vocabulary = Annotated[int, typer.Option(min=2, max=10_000_000, help="Tokens of the language.")]
Context = Annotated[int, typer.Option(min=1, max=1_048_576, help="Tokens in a window.")]
Batch = Annotated[int, typer.Option(min=1, max=65_536, help="Windows in a training step.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="Architectures and their parts: what there is, and what each needs.", no_args_is_help=True)
    group.command("list", epilog="Example: physlm models list --set width=64 --set layers=4")(list_models)
    group.command(epilog="Example: physlm models show llama --set canon=ABCD --set width=128 --vocabulary 512")(show)
    app.add_typer(group, name="models")


def list_models(
    settings: Set = None, vocabulary: Vocabulary = 64, context: Context = 64, batch: Batch = 32, as_json: Json = False
) -> None:
    """Show what each architecture needs (parameters, FLOPs per token, memory in training), and all mixers and MLPs."""
    rows = {}
    left_out = {}
    for name in models.registry:
        try:
            rows[name] = _needs(runs.model_config(name, settings or []), vocabulary, context, batch)
        except ExperimentError as error:
            left_out[name] = str(error)
    if not rows:
        raise ExperimentError(next(iter(left_out.values())))
    if as_json:
        found: dict[str, Any] = {
            "models": {name: {"summary": _summary(models.registry[name]), **needs} for name, needs in rows.items()}
        }
        for kind, parts in PARTS.items():
            found[f"{kind}s"] = {
                name: {"summary": _summary(part), "knobs": list(own_knobs(part))} for name, part in parts.items()
            }
        console.print_json(found)
        return
    table = Table("model", "parameters", "FLOPs per token", "memory", "", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, needs in rows.items():
        counts = f"{needs['parameters']:,}", f"{needs['flops_per_token']:,}", _bytes(needs["training_bytes"])
        table.add_row(name, *counts, _summary(models.registry[name]))
    console.output.print(table)
    for kind, parts in PARTS.items():
        console.output.print()
        table = Table(kind, "knobs of its own", "", box=None, pad_edge=False)
        for name, part in parts.items():
            table.add_row(name, ", ".join(own_knobs(part)), _summary(part))
        console.output.print(table)
    for name, reason in left_out.items():
        console.errors.print(f"{name} is left out: {reason}")


def show(
    name: Annotated[str, typer.Argument(help="An architecture, a mixer or an MLP, see `physlm models list`.")],
    settings: Set = None,
    vocabulary: Vocabulary = 64,
    context: Context = 64,
    batch: Batch = 32,
    as_json: Json = False,
) -> None:
    """Show an architecture: its knobs with their meaning, and what one model of it needs. Or a part: its own knobs."""
    kind = next((kind for kind, parts in PARTS.items() if name in parts), None)
    if name not in models.registry and kind is not None:
        _show_part(kind, name, as_json)
        return
    names = [*models.registry, *(part for parts in PARTS.values() for part in parts)]
    if name not in models.registry:
        raise ExperimentError(f"{name!r} is neither a model nor a part of one; {nearest(name, names)}")
    config = runs.model_config(name, settings or [])
    summary = _summary(models.registry[name])
    needs = _needs(config, vocabulary, context, batch)
    if as_json:
        console.print_json({"model": config.model_dump(mode="json"), "summary": summary, **needs})
        return
    console.output.print(Text.assemble((name, "bold"), f": {summary}"))
    table = _two_columns_and_meaning()
    for knob, field in type(config).model_fields.items():
        if knob != "type":
            table.add_row(knob, str(getattr(config, knob)), field.description or "")
    table.add_section()
    table.add_row("parameters", f"{needs['parameters']:,}", f"{needs['body_parameters']:,} without embeddings")
    table.add_row("FLOPs per token", f"{needs['flops_per_token']:,}", f"forward, in windows of {context} tokens")
    table.add_row("training memory", _bytes(needs["training_bytes"]), f"estimate, {batch} windows of {context} tokens")
    table.add_row("cache", _bytes(needs["cache_bytes"]), f"of one sequence of {context} tokens in generation")
    console.output.print(table)


def _show_part(kind: str, name: str, as_json: bool) -> None:
    part = PARTS[kind][name]
    knobs = own_knobs(part)
    if as_json:
        shown = {knob: {"default": field.default, "description": field.description} for knob, field in knobs.items()}
        console.print_json({kind: name, "summary": _summary(part), "knobs": shown})
        return
    console.output.print(Text.assemble((name, "bold"), f": {_summary(part)}"))
    console.output.print(Text(f"{PARTS[kind].noun}, in {PARTS[kind].file_of(name)}", "dim"))
    table = _two_columns_and_meaning()
    for knob, field in knobs.items():
        table.add_row(knob, str(field.default), field.description or "")
    console.output.print(table)


def _two_columns_and_meaning() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_column(style="dim")
    return table


def _needs(config: ModelConfig, vocabulary: int, context: int, batch: int) -> dict[str, Any]:
    return {
        "parameters": config.parameters(vocabulary),
        "body_parameters": config.body_parameters(),
        "flops_per_token": config.flops_per_token(vocabulary, context),
        "training_bytes": training_bytes(config, vocabulary, context, batch),
        "cache_bytes": 4 * config.cache_numbers(context) if config.causal else 0,
    }


def _summary(cls: type[ModelConfig] | type[Part[Any]]) -> str:
    return docstrings.of_class(cls).partition("\n")[0].rstrip(".")


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.3g} TiB"
