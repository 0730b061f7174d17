"""The command line's root; each group of commands registers itself here."""

from __future__ import annotations

from typing import Annotated

import typer

import physlm
from physlm.cli import designs, experiments, laws, measures, models, steps, tasks

app = typer.Typer(
    name="physlm",
    help="An observatory for the universal laws of language models.\n\n"
    "Example: physlm run pipelines/experiments/capacity.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"physlm {physlm.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An observatory for the universal laws of language models."""


experiments.add_to(app)
models.add_to(app)
tasks.add_to(app)
laws.add_to(app)
measures.add_to(app)
designs.add_to(app)
steps.add_to(app)
