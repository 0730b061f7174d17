"""Commands on an experiment as a whole: plan, run, submit. Those of single steps are in `physlm.cli.steps`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from physlm import engines, steps
from physlm.catalog import queries
from physlm.cli import console
from physlm.cli.arguments import DEFAULT_STORE, File, Json, StoreOption, load
from physlm.cli.steps import given, with_options
from physlm.errors import LawDataError
from physlm.experiment import Experiment
from physlm.launch import estimate
from physlm.steps.plan import summary
from physlm.store import Store, layout, open_store


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(epilog="Example: physlm plan pipelines/experiments/capacity.yaml")(plan)
    app.command("run", epilog="Example: physlm run pipelines/experiments/capacity.yaml --store ./results")(
        with_options(run, steps.in_order())
    )
    app.command(
        epilog="Example: physlm submit pipelines/experiments/capacity.yaml --store s3://physlm --host http://localhost:8888"
    )(submit)


def plan(file: File, as_json: Json = False) -> None:
    """Show what an experiment would run: runs, cohorts, parameters, tokens, FLOPs and time. Writes nothing."""
    experiment = load(file)
    steps.check(experiment)
    document = summary(experiment)
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
        str, typer.Option(help=f"Where to run: {', '.join(engines.registry)}; kfp-local compiles the pipeline.")
    ] = "local",
    as_json: Json = False,
    **options: Any,
) -> None:
    """Run an experiment from its file to its laws and its page; what the store already holds is not done again."""
    experiment = load(file)
    steps.check(experiment)
    opened, execute = open_store(store), engines.registry[engine]
    with console.progress(quiet=as_json) as on_event:
        execute(experiment, store, on_event, **given(options))
    _show(opened, experiment, as_json)


def _show(store: Store, experiment: Experiment, as_json: bool) -> None:
    fits, refused = queries.fitted(store, experiment.key, experiment.file.laws)
    where = store.address(layout.report_key(experiment.key))
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
    result = engines.registry["kfp"](experiment, store, host=host, namespace=namespace, wait=wait)
    if as_json:
        console.print_json(result)
    else:
        console.output.print(f"submitted: {result['url']}")
