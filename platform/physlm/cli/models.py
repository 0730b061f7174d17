"""Commands on architectures: list, show."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from physlm import docstrings, models, runs
from physlm.cli import console
from physlm.cli.experiments import Json
from physlm.errors import ExperimentError
from physlm.launch import planning
from physlm.models import ModelConfig

Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A knob and its value; may be given many times.", metavar="KNOB=VALUE"),
]
Vocabulary = Annotated[int, typer.Option(min=2, max=10_000_000, help="Tokens of the language.")]
Context = Annotated[int, typer.Option(min=1, max=1_048_576, help="Tokens in a window.")]
Batch = Annotated[int, typer.Option(min=1, max=65_536, help="Windows in a training step.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="Architectures: what there is, and what each needs.", no_args_is_help=True)
    group.command("list", epilog="Example: physlm models list --set width=64 --set layers=4")(list_models)
    group.command(epilog="Example: physlm models show llama --set canon=ABCD --set width=128 --vocabulary 512")(show)
    app.add_typer(group, name="models")


def list_models(
    settings: Set = None, vocabulary: Vocabulary = 64, context: Context = 64, batch: Batch = 32, as_json: Json = False
) -> None:
    """Show what each architecture needs: parameters, FLOPs per token, memory in training."""
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
        console.print_json({name: {"summary": _summary(name), **needs} for name, needs in rows.items()})
        return
    table = Table("model", "parameters", "FLOPs per token", "memory", "", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, needs in rows.items():
        counts = f"{needs['parameters']:,}", f"{needs['flops_per_token']:,}", _bytes(needs["training_bytes"])
        table.add_row(name, *counts, _summary(name))
    console.output.print(table)
    for name, reason in left_out.items():
        console.errors.print(f"{name} is left out: {reason}")


def show(
    name: Annotated[str, typer.Argument(help="An architecture, see `physlm models list`.")],
    settings: Set = None,
    vocabulary: Vocabulary = 64,
    context: Context = 64,
    batch: Batch = 32,
    as_json: Json = False,
) -> None:
    """Show one architecture: its knobs with their meaning, and what one model of it needs."""
    config = runs.model_config(name, settings or [])
    needs = _needs(config, vocabulary, context, batch)
    if as_json:
        console.print_json({"model": config.model_dump(mode="json"), "summary": _summary(name), **needs})
        return
    console.output.print(Text.assemble((name, "bold"), f": {_summary(name)}"))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_column(style="dim")
    for knob, field in type(config).model_fields.items():
        if knob != "type":
            table.add_row(knob, str(getattr(config, knob)), field.description or "")
    table.add_section()
    table.add_row("parameters", f"{needs['parameters']:,}", f"{needs['body_parameters']:,} without embeddings")
    table.add_row("FLOPs per token", f"{needs['flops_per_token']:,}", f"forward, in windows of {context} tokens")
    table.add_row("training memory", _bytes(needs["training_bytes"]), f"estimate, {batch} windows of {context} tokens")
    table.add_row("cache", _bytes(needs["cache_bytes"]), f"of one sequence of {context} tokens in generation")
    console.output.print(table)


def _needs(config: ModelConfig, vocabulary: int, context: int, batch: int) -> dict[str, Any]:
    return {
        "parameters": config.parameters(vocabulary),
        "body_parameters": config.body_parameters(),
        "flops_per_token": config.flops_per_token(vocabulary, context),
        "training_bytes": planning.training_bytes(config, vocabulary, context, batch),
        "cache_bytes": 4 * config.cache_numbers(context) if config.causal else 0,
    }


def _summary(name: str) -> str:
    return docstrings.of_class(models.registry[name]).partition("\n")[0].rstrip(".")


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.3g} TiB"
