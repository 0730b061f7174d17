"""Arguments and options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from physlm import experiment as experiments
from physlm import steps
from physlm.experiment import Experiment

File = Annotated[Path, typer.Argument(help="The experiment file (YAML).", show_default=False)]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="PHYSLM_STORE",
        help="Where results are kept: a folder, or s3://bucket/prefix.",
        metavar="ADDRESS",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]

DEFAULT_STORE = "physlm-store"


def load(path: Path) -> Experiment:
    """The experiment of a file. Raises ExperimentError with one sentence."""
    return experiments.load(path, steps.known_names())
