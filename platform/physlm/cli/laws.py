"""Commands on laws: what laws there are, fits of any table, what is known of each."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.table import Table

from physlm import fitting, laws
from physlm.catalog import laws as known
from physlm.catalog import queries
from physlm.cli import console
from physlm.cli.arguments import DEFAULT_STORE, Json, StoreOption, load
from physlm.errors import LawDataError, UserError
from physlm.fitting import advice, tables
from physlm.fitting.equivalence import equivalence
from physlm.fitting.pooling import universality
from physlm.fitting.robustness import robustness
from physlm.fitting.two_step import chain
from physlm.steps import fit as fit_step
from physlm.steps.collect import Collect
from physlm.store import open_store

Name = Annotated[str, typer.Argument(metavar="LAW", help="The law's name; `physlm laws list` shows them.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(
        epilog="Example: physlm fit runs.csv --law chinchilla --map N=params --map D=tokens --map L=loss "
        "--hold-out 'params > 1e9'"
    )(fit)
    app.command(epilog="Example: physlm advise fit.json --goal min --free N --free D --cost '6 * N * D' --budget 1e21")(
        advise
    )
    app.command(epilog="Example: physlm preregister pipelines/experiments/capacity.yaml --store ./results")(preregister)
    group = typer.Typer(
        name="laws",
        help="The laws: their formulas, what is published, what is known.\n\nExample: physlm laws show chinchilla",
        no_args_is_help=True,
        rich_markup_mode="rich",
    )
    group.command("list", epilog="Example: physlm laws list")(list_)
    group.command(epilog="Example: physlm laws show chinchilla")(show)
    group.command(epilog="Example: physlm laws equivalent inverse.yaml --measure 'accuracy.inverse_.*' --reference 0")(
        equivalent
    )
    group.command(epilog="Example: physlm laws catalog --store ./results --status refuted")(catalog)
    app.add_typer(group)


def fit(
    file: Annotated[
        Path, typer.Argument(help="A table (CSV, Parquet), or an experiment file (YAML) whose runs are in the store.")
    ],
    law: Annotated[str | None, typer.Option(help="The law; an experiment names its own.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="VARIABLE=COLUMN", help="Which column a variable is in; may be repeated."),
    ] = None,
    hold_out: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Rows to test the law on, such as 'params > 1e9'.")
    ] = None,
    cluster: Annotated[
        list[str] | None, typer.Option(help="A column whose equal values err together; may be repeated.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(min=20, max=100_000, help="Of the bootstrap.")] = 1000,
    conventions: Annotated[bool, typer.Option("--conventions", help="Fit under other conventions too.")] = False,
    then: Annotated[
        str | None,
        typer.Option(
            metavar="LAW", help="A law of this one's response, such as skill of a loss: a prediction in two steps."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Ask whether its groups share one law: pooled against separate."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Fit a law to a table, or an experiment's laws to its runs: estimates, rivals, held-out test, verdict.

    --then predicts in two steps, with one interval through both. --conventions tells which conclusions turn with other
    counts and exclusions, --by whether a law is universal.
    """
    if file.suffix in (".yaml", ".yml"):
        experiment, opened = load(file), open_store(store)
        Collect().run(opened, experiment)
        if then is not None:
            both = [queries.table_of(opened, experiment.key, name) for name in _known(law, then)]
            table = pl.concat(both, how="diagonal_relaxed").unique(["run_id", "measure"], maintain_order=True)
            _chained(law, then, table, {"hold_out": "held_out"}, as_json)
            return
        found = fit_step.Fit().run(opened, experiment)
        options: dict[str, Any] = {"hold_out": "held_out"}
        data = {each.law: queries.table_of(opened, experiment.key, each.law, [by] if by else []) for each in found}
        for name, reason in queries.fitted(opened, experiment.key, experiment.file.laws)[1].items():
            raise LawDataError(f"laws: {name} can't be fitted: {reason}")
    else:
        if law is None:
            raise LawDataError(f"name a law with --law; there are {', '.join(laws.registry)}")
        options = {
            "columns": tables.mapping(map_ or []),
            "hold_out": tables.condition(hold_out) if hold_out else None,
            "cluster": cluster or (),
            "level": level,
            "resamples": resamples,
        }
        data = {law: tables.read_table(file)}
        if then is not None:
            _chained(law, then, data[law], {k: v for k, v in options.items() if k != "cluster"}, as_json)
            return
        found = [fitting.fit(law, data[law], **options)]
    documents = []
    for each in found:
        kind = laws.registry[each.law]
        tried = robustness(kind, data[each.law], each, **options, compare=False) if conventions else []
        groups = universality(kind, data[each.law], by, **options) if by else None
        documents.append(each.to_json())
        if tried:
            documents[-1]["conventions"] = [outcome.to_json() for outcome in tried]
        if groups:
            documents[-1]["universality"] = groups.to_json()
        if not as_json:
            console.output.print(each.summary())
            for outcome in tried[1:]:
                turned = outcome.refused or ", ".join(outcome.flips) or "nothing turns"
                console.output.print(f"  {outcome.name}: {turned}")
            if groups:
                console.output.print(groups.summary())
    if as_json:
        console.print_json(documents if len(documents) != 1 else documents[0])


def _known(first: str | None, second: str) -> list[str]:
    names = [first or "", second]
    for name in names:
        if name not in laws.registry:
            raise LawDataError(
                f"there is no law {name!r}; name two with --law and --then of {', '.join(laws.registry)}"
            )
    return names


def _chained(first: str | None, second: str, table: pl.DataFrame, options: dict[str, Any], as_json: bool) -> None:
    one, two = _known(first, second)
    made = chain(laws.registry[one], laws.registry[two], table, **options)
    if as_json:
        console.print_json(made.to_json())
        return
    for each in (made.first, made.second):
        console.output.print(each.summary())
    console.output.print(made.summary())


def equivalent(
    file: Annotated[Path, typer.Argument(help="An experiment file (YAML) whose runs are in the store.")],
    measure: Annotated[str, typer.Option(help="The measure, or a regular expression for several.")],
    margin: Annotated[float, typer.Option(min=1e-6, max=0.999, help="How far from it is still the same.")] = 0.02,
    reference: Annotated[
        float | None, typer.Option(min=0, max=1, help="What it should be equivalent to; chance if not given.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the test.")] = 0.95,
    store: StoreOption = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Test whether accuracies are no more than chance: equivalent to it within a margin, by two one-sided tests."""
    experiment, opened = load(file), open_store(store)
    Collect().run(opened, experiment)
    found = {
        name: equivalence(rows["value"].to_numpy(), rows["n"].to_numpy(), _reference(rows, reference), margin, level)
        for name, rows in queries.measured(opened, experiment.key, measure).items()
    }
    if as_json:
        console.print_json({name: asdict(each) for name, each in found.items()})
        return
    for name, each in found.items():
        console.output.print(f"{name}: {each.summary()}")


def _reference(rows: pl.DataFrame, reference: float | None) -> float:
    if reference is not None:
        return reference
    chance = rows["chance"].drop_nulls().unique()
    if len(chance) != 1:
        raise LawDataError(
            f"{rows['measure'][0]} has {len(chance) or 'no'} accuracies by chance over these runs; give --reference"
        )
    return float(chance[0])


def advise(
    file: Annotated[Path, typer.Argument(help="A fit, as `physlm fit --json` prints it or a store holds it.")],
    goal: Annotated[str, typer.Option(help="max or min: whether the response should be large or small.")] = "max",
    free: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE", help="A variable to choose; may be repeated.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE=VALUE", help="A variable that is given; may be repeated.")
    ] = None,
    cost: Annotated[str | None, typer.Option(metavar="EXPR", help="Cost of a condition, such as '6 * N * D'.")] = None,
    budget: Annotated[float | None, typer.Option(help="The most that it may cost.")] = None,
    reach: Annotated[
        float | None, typer.Option(help="Instead of the best: the value of the one free variable that reaches this.")
    ] = None,
    extrapolate: Annotated[bool, typer.Option(help="Go beyond what the law was tested on, up to 10 times.")] = False,
    as_json: Json = False,
) -> None:
    """The best condition under a budget, or the one that reaches a goal, with its interval and the tested range."""
    if goal not in ("max", "min"):
        raise UserError(f"--goal must be max or min, got {goal!r}")
    try:
        found = fitting.Fit.from_json(json.loads(file.read_text()))
    except OSError as error:
        raise UserError(f"can't read {file}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is not a fit; make one with `physlm fit TABLE --law LAW --json`") from None
    given = tables.mapping(at or [])
    result: advice.Advice | advice.Inverse
    if reach is not None:
        if len(free or []) != 1:
            raise UserError("--reach needs exactly one --free variable")
        result = advice.invert(found, (free or [""])[0], reach, given, extrapolate=extrapolate)
        told = f"{result.variable} = {result.value:.4g}  [{result.interval.low:.4g}, {result.interval.high:.4g}]"
        beyond = [result.variable] if result.beyond else []
    else:
        result = advice.advise(
            found,
            "max" if goal == "max" else "min",
            free=free or [],
            at=given,
            cost=cost,
            budget=budget,
            extrapolate=extrapolate,
        )
        chosen = ", ".join(f"{k} = {v if isinstance(v, str) else format(v, '.4g')}" for k, v in result.at.items())
        low, high = result.interval.low, result.interval.high
        told = (
            f"{chosen}: {found.model.response.meaning} {result.predicted:.4g}, one run within [{low:.4g}, {high:.4g}]"
        )
        beyond = list(result.beyond)
        if result.at_edge:
            told += f"\n  {', '.join(result.at_edge)} at the end of what was tested: better may lie beyond"
    if as_json:
        console.print_json(asdict(result))
        return
    console.output.print(told)
    for name in beyond:
        low, high = advice.tested_range(found)[name]
        console.output.print(f"  beyond the tested {name} from {low:.4g} to {high:.4g}: an extrapolation")
    console.output.print(f"  the law is {found.verdict}: {found.reason}")


def preregister(
    file: Annotated[Path, typer.Argument(help="The experiment file (YAML).", show_default=False)],
    store: StoreOption = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Freeze an experiment's laws, intervals and held-out conditions before its held-out runs may start.

    The score is computed by the first fit after they have finished, and can't be changed.
    """
    document = fit_step.preregister(open_store(store), load(file))
    if as_json:
        console.print_json(document)
    else:
        held_out = len(document["held_out"])
        console.output.print(f"registered {document['id']}: {held_out} held-out runs, {', '.join(document['laws'])}")


def list_(as_json: Json = False) -> None:
    """All laws, with what each is about."""
    found = laws.registry
    if as_json:
        console.print_json({name: {"title": law.title, "latex": law.latex} for name, law in found.items()})
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("law", "about", "response", "of"):
        table.add_column(heading)
    for name, law in found.items():
        table.add_row(name, law.title, law.response.meaning, ", ".join(v.name for v in law.variables))
    console.output.print(table)


def show(law: Name, as_json: Json = False) -> None:
    """A law's formula, its variables with their columns, its parameters with what is published, its rivals."""
    if law not in laws.registry:
        raise LawDataError(f"there is no law {law!r}; there are {', '.join(laws.registry)}")
    cls = laws.registry[law]
    form = fitting.form_of(cls, cls.example().design)
    if as_json:
        console.print_json(laws.describe(form))
        return
    console.output.print(f"{cls.title}\n  {cls.latex}\n  {cls.source}")
    written = [f"{symbol} is {name}" for name, symbol in cls.symbols.items()]
    if cls.where or written:
        console.output.print(f"  where {', '.join([*cls.where, *written])}")
    variables = Table(box=None, pad_edge=False)
    for heading in ("variable", "meaning", "unit", "in a catalogue"):
        variables.add_column(heading)
    for v in (*cls.variables, cls.response):
        variables.add_row(v.name, v.meaning, v.unit, v.made or v.column or f"measure {v.measure}")
    parameters = Table(box=None, pad_edge=False)
    for heading in ("parameter", "meaning", "unit", "published"):
        parameters.add_column(heading)
    for p in form.parameters:
        parameters.add_row(p.name, p.meaning, p.unit, "; ".join(map(str, p.anchors)))
    console.output.print(variables)
    console.output.print(parameters)
    for rival in cls.rivals:
        console.output.print(f"rival: {rival.name}: {rival.latex}")


def catalog(
    law: Annotated[str | None, typer.Option(help="Of this law alone.")] = None,
    status: Annotated[str | None, typer.Option(help="holds, refuted or undecided.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """What is known of each law: its status, domain and evidence. Refuted laws stay."""
    found = [
        entry
        for entry in known.catalogue(open_store(store))
        if law in (None, entry.law) and status in (None, entry.status)
    ]
    if as_json:
        console.print_json([entry.to_json() for entry in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("law", "status", "evidence", "domain"):
        table.add_column(heading)
    for entry in found:
        table.add_row(entry.law, entry.status, ", ".join(entry.cited), entry.domain)
    console.output.print(table)
