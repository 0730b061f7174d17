"""The command that says what to run next."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
import yaml

from physlm import designs, fitting, laws
from physlm.catalog import queries
from physlm.cli import console
from physlm.cli.arguments import DEFAULT_STORE, Json, StoreOption, load
from physlm.errors import LawDataError, UserError
from physlm.fitting import tables
from physlm.fitting.design import narrow_enough, next_conditions
from physlm.steps.collect import Collect
from physlm.store import open_store


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "next",
        epilog="Example: physlm next pipelines/experiments/capacity.yaml --law capacity --quantity c_max "
        "--budget 1e15 --enough 0.02 --output next.yaml",
    )(next_)


def next_(
    files: Annotated[
        list[Path],
        typer.Argument(help="Experiments (YAML) of one study whose runs are in the store, or a table (CSV, Parquet)."),
    ],
    law: Annotated[str, typer.Option(help="The law.")],
    budget: Annotated[float, typer.Option(help="FLOPs of all new runs; for a table the most that they may cost.")],
    quantity: Annotated[str | None, typer.Option(help="Whose interval is to shrink; else the law's main one.")] = None,
    enough: Annotated[
        float | None, typer.Option(min=0.0, help="Stop when the interval's half width is this share of the estimate.")
    ] = None,
    try_: Annotated[
        list[str] | None,
        typer.Option("--try", metavar="PATH=VALUES", help="Levels to choose from, as 'model.width=[12, 16]'."),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="VARIABLE=COLUMN", help="Which column of a table a variable is in."),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Of a table's condition, as '6 * N * D'; 1 each unless given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output unless given.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """The conditions that shrink an interval most, as an experiment file; or that it is narrow enough to stop.

    Of a table the conditions are chosen from the values that its variables take, and written as CSV.
    """
    if law not in laws.registry:
        raise LawDataError(f"there is no law {law!r}; there are {', '.join(laws.registry)}")
    tried = dict(map(_levels, try_ or []))
    if all(file.suffix in (".yaml", ".yml") for file in files):
        done = [load(file) for file in files]
        opened = open_store(store)
        found = []
        for each in done:
            Collect().run(opened, each)
            found.append(queries.table_of(opened, each.key, law))
        last = pl.concat(found, how="diagonal_relaxed").unique(["run_id", "measure"], maintain_order=True)
        fit = fitting.fit(law, last, compare=False)
        name = _quantity(fit, quantity)
        if not _stops(fit, name, enough, as_json):
            chosen = designs.next_experiment(fit, done, last, name, budget=budget, tried=tried)
            runs = f"cost {chosen.grid.cost:.3g} FLOPs"
            _write(chosen.text, f"{runs}; the interval of {name} shrinks to {chosen.grid.width:.0%}", output, as_json)
    elif len(files) == 1:
        columns_of = tables.mapping(map_ or [])
        fit = fitting.fit(law, tables.read_table(files[0]), columns=columns_of, compare=False)
        name = _quantity(fit, quantity)
        if not _stops(fit, name, enough, as_json):
            candidates = _candidates(fit, tried, cost)
            design = next_conditions(fit, candidates, name, budget=budget, cost="cost")
            text = candidates[list(design.rows)].group_by(pl.all(), maintain_order=True).len("runs").write_csv()
            told = f"cost {design.cost:.3g}; the interval of {name} shrinks to {design.widths[-1]:.0%}"
            _write(text, told, output, as_json)
    else:
        raise UserError("give experiment files (YAML) of one study, or one table")


def _levels(text: str) -> tuple[str, list[Any]]:
    path, equals, values = text.partition("=")
    try:
        found = yaml.safe_load(values if values.startswith("[") else f"[{values}]")
    except yaml.YAMLError:
        found = None
    if not (equals and found):
        raise UserError(f"--try {text!r} gives no levels; write PATH=VALUES, such as 'model.width=12,16,20'")
    return path.strip(), found


def _quantity(fit: fitting.Fit, name: str | None) -> str:
    known = [e.name for e in (*fit.estimates, *fit.derived)]
    if name is not None and name not in known:
        raise UserError(f"the law {fit.law} has no quantity {name!r}; it has {', '.join(known)}")
    return name or fit.headline.name


def _stops(fit: fitting.Fit, name: str, enough: float | None, as_json: bool) -> bool:
    """Whether nothing more need be run; says so."""
    if enough is None or not narrow_enough(fit, name, enough):
        return False
    e = fit.estimate(name)
    told = f"{name} = {e.value:.4g} [{e.interval.low:.4g}, {e.interval.high:.4g}]"
    if as_json:
        console.print_json(
            {"stop": True, "quantity": name, "value": e.value, "low": e.interval.low, "high": e.interval.high}
        )
    else:
        console.output.print(f"stop: {told} is narrow enough, within {enough:.2%} of the estimate")
    return True


def _candidates(fit: fitting.Fit, tried: dict[str, list[Any]], cost: str | None) -> pl.DataFrame:
    """All combinations of the values that the variables take in the data, or are to be chosen from."""
    law = fit.model
    if unknown := sorted(set(tried) - {v.name for v in law.variables}):
        raise UserError(f"the law {law.name} has no variable {unknown[0]!r} to try")
    values = [
        tried.get(v.name) or (list(fit.levels[v.name]) if v.category else sorted(set(fit.data[v.name])))
        for v in law.variables
    ]
    table = pl.DataFrame(list(itertools.product(*values)), [v.name for v in law.variables], orient="row")
    try:
        return table.with_columns((tables.condition(cost) if cost else pl.lit(1.0)).cast(pl.Float64).alias("cost"))
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{cost!r} is no cost of a condition: {str(error).splitlines()[0]}") from None


def _write(text: str, told: str, output: Path | None, as_json: bool) -> None:
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"can't write {output}: {(error.strerror or str(error)).lower()}") from None
    if as_json:
        console.print_json({"stop": False, "text": text, "about": told})
    elif output is None:
        typer.echo(f"# {told}\n{text}", nl=False)
    else:
        console.output.print(f"{output}: {told}")
