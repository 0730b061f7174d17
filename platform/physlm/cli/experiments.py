"""Commands on an experiment file: plan, train, run, measure, probe, submit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from physlm import catalog, probes, steps
from physlm import experiment as experiments
from physlm.cli import console
from physlm.errors import ExperimentError, LawDataError, UserError
from physlm.evaluation import jobs
from physlm.experiment import Experiment
from physlm.launch import engines, estimate
from physlm.report import formatting
from physlm.steps import Listener
from physlm.store import Store, open_store
from physlm.store.local import LocalStore

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

Processes = Annotated[
    int | None, typer.Option(min=1, help="Processes, one shard of the work each; one for each core if not given.")
]
Nproc = Annotated[
    int | None, typer.Option(min=1, help="Ranks in each of them, under torchrun; one for each GPU if not given.")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65_000, help="Serve live metrics of shard 0 on this port, of shard 1 on the next, ..."),
]

DEFAULT_STORE = "physlm-store"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog="Example: physlm plan pipelines/experiments/capacity.yaml")(plan)
    app.command(epilog="Example: physlm run pipelines/experiments/capacity.yaml --store ./results")(run)
    app.command(epilog="Example: physlm measure pipelines/experiments/grammar.yaml --store ./results")(measure)
    app.command(epilog="Example: physlm probe pipelines/experiments/grammar.yaml --store ./results")(probe)
    app.command(epilog="Example: physlm train pipelines/experiments/capacity.yaml --nproc 2")(train)
    app.command(
        epilog="Example: physlm submit pipelines/experiments/capacity.yaml --store s3://physlm --host http://localhost:8888"
    )(submit)


def load(path: Path) -> Experiment:
    """The experiment of a file."""
    return experiments.load(path, steps.known_names())


def plan(file: File, as_json: Json = False) -> None:
    """Show what an experiment would run: runs, cohorts, parameters, tokens, FLOPs and time. Writes nothing."""
    experiment = load(file)
    steps.check(experiment)
    document = steps.summary(experiment)
    times = estimate.seconds(experiment)
    if as_json:
        console.print_json({**document, "seconds": times})
        return
    title = f" {document['experiment_id']}: {document['question']}"
    console.output.print(Text.assemble((document["experiment"], "bold"), console.visible(title)))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    sizes = document["parameters"]
    for name, value in {
        "runs": (
            f"{document['runs']:,} ({document['conditions']:,} conditions, {document['held_out_runs']:,} runs held out)"
        ),
        **({"runs that these go on from": f"{before:,}"} if (before := document["runs_before"]) else {}),
        "cohorts": f"{document['cohorts']:,}",
        "worlds": f"{document['worlds']:,}",
        "parameters": f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} ({len(sizes)} sizes)",
        "tokens": f"{document['tokens']:,}",
        "FLOPs": f"{document['flops']:.3g}",
        **{f"time on {where}": estimate.readable(value) for where, value in times.items()},
    }.items():
        table.add_row(name, value)
    console.output.print(table)


def run(
    file: File,
    store: StoreOption = DEFAULT_STORE,
    engine: Annotated[
        str, typer.Option(help="Where to run: local, or kfp-local (the compiled pipeline on this machine).")
    ] = "local",
    processes: Processes = None,
    nproc: Nproc = None,
    metrics_port: MetricsPort = None,
    as_json: Json = False,
) -> None:
    """Run an experiment from its file to its laws and its page; what the store already holds is not done again."""
    experiment = load(file)
    steps.check(experiment)
    opened = open_store(store)
    _serve_metrics(metrics_port)
    with console.progress(quiet=as_json) as on_event:
        if engine == "local":
            steps.run(opened, experiment, on_event, processes=processes, nproc=nproc)
        else:
            engines.find(engine)(experiment, store, on_event)
    _show(opened, experiment, as_json)


def train(
    file: File,
    store: StoreOption = DEFAULT_STORE,
    processes: Processes = None,
    nproc: Nproc = None,
    checkpoint_seconds: Annotated[float, typer.Option(min=0.01, help="Time between checkpoints.")] = 20.0,
    metrics_port: MetricsPort = None,
    as_json: Json = False,
) -> None:
    """Train an experiment's models and stop there; `physlm run` goes on from them."""
    experiment = load(file)
    steps.check(experiment)
    opened = open_store(store)
    _serve_metrics(metrics_port)
    with console.progress(quiet=as_json) as on_event:
        steps.plan(opened, experiment, on_event)
        steps.generate(opened, experiment, on_event)
        steps.train(
            opened, experiment, on_event, processes=processes, nproc=nproc, checkpoint_seconds=checkpoint_seconds
        )
    totals = steps.trained(opened, experiment)
    if as_json:
        console.print_json({"experiment": experiment.name, "store": opened.url, **totals})
        return
    diverged = f", of which {totals['diverged']:,} diverged" if totals["diverged"] else ""
    console.output.print(
        f"{totals['runs']:,} runs are trained{diverged}: {totals['tokens']:,} tokens, {totals['flops']:.3g} FLOPs, "
        f"{totals['seconds']:,.1f} s of training",
    )


def _serve_metrics(port: int | None) -> None:
    if port is not None:
        os.environ["PHYSLM_METRICS_PORT"] = str(port)


def _show(store: Store, experiment: Experiment, as_json: bool) -> None:
    fits, refused = steps.fitted(store, experiment)
    page = f"{experiment.key}/report.html"
    where = str((store.root / page).resolve()) if isinstance(store, LocalStore) else f"{store.url}/{page}"
    if as_json:
        document: dict[str, Any] = {
            "experiment": experiment.name,
            "experiment_id": experiment.experiment_id,
            "store": store.url,
            "report": where,
            "laws": {fit.law: fit.to_json() for fit in fits},
            "refused": refused,
        }
        console.print_json(document)
    else:
        for fit in fits:
            console.output.print(fit.summary())
        console.output.print(f"page: {where}")
    if refused:
        name, reason = next(iter(refused.items()))
        raise LawDataError(f"laws: {name} can't be fitted: {reason}")


def measure(
    file: File,
    store: StoreOption = DEFAULT_STORE,
    processes: Processes = None,
    nproc: Nproc = None,
    as_json: Json = False,
) -> None:
    """Take the experiment's measures from its trained models: the step alone."""
    experiment = load(file)
    sources = [job.source for job in jobs.measuring(experiment)]
    _step(partial(steps.measure, processes=processes, nproc=nproc), sources, experiment, store, as_json)


def probe(
    file: File,
    store: StoreOption = DEFAULT_STORE,
    processes: Processes = None,
    nproc: Nproc = None,
    as_json: Json = False,
) -> None:
    """Train the experiment's probes on its trained models: the step alone.

    An entry of `probe` is a name, or a mapping with knobs, such as {type: v, steps: 400, batch: 64}.
    """
    experiment = load(file)
    if not experiment.probes:
        raise ExperimentError(f"{file}: probe: names no probe; known are {', '.join(probes.registry)}")
    sources = [job.source for job in jobs.probing(experiment)]
    _step(partial(steps.probe, processes=processes, nproc=nproc), sources, experiment, store, as_json)


def _step(
    step: Callable[[Store, Experiment, Listener], None],
    sources: Sequence[str],
    experiment: Experiment,
    store: str,
    as_json: bool,
) -> None:
    """Do one step on models that are trained already, and print what it observed of them as wholes."""
    steps.check(experiment)
    opened = open_store(store)
    if left := steps.untrained(opened, experiment.runs):
        raise UserError(
            f"{store}: {len(left)} of {len(experiment.runs)} runs are not trained there; physlm run trains them"
        )
    with console.progress(quiet=as_json) as on_event:
        step(opened, experiment, on_event)
    table = catalog.overall(catalog.collect(opened, [run.run_id for run in experiment.runs], sources))
    rows = table.select("run_id", "seed", "measure", "value", "stderr", "chance", "floor", "unit").to_dicts()
    if as_json:
        console.print_json({"experiment": experiment.name, "observations": rows})
        return
    shown = Table(box=None, pad_edge=False)
    for name in ("run", "measure", "value", "± stderr", "chance", "floor", "unit"):
        shown.add_column(name, overflow="fold", justify="left" if name in ("run", "measure", "unit") else "right")
    for row in rows:
        numbers = (formatting.number(row[name]) for name in ("value", "stderr", "chance", "floor"))
        shown.add_row(row["run_id"], row["measure"], *numbers, "" if row["unit"] == "1" else row["unit"])
    console.output.print(shown)


def submit(
    file: File,
    store: StoreOption,
    host: Annotated[str, typer.Option(envvar="PHYSLM_KFP_HOST", help="Address of the Kubeflow Pipelines API.")],
    namespace: Annotated[str | None, typer.Option(help="Kubernetes namespace of the run.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the run has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Submit an experiment to a cluster, as a run of the pipeline `discover`."""
    experiment = load(file)
    steps.check(experiment)
    result = engines.find("kfp")(experiment, store, host=host, namespace=namespace, wait=wait)
    if as_json:
        console.print_json(result)
    else:
        console.output.print(f"submitted: {result['url']}")
