"""The steps of an experiment, each a plain function over the store; engines, components and tests call these.

    plan -> generate -> train -> measure -> probe -> collect -> fit -> report

Every step first looks at what the store already holds and does only the rest, so any of them may be killed and called
again. Steps hand nothing to each other but what they write.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from physlm import catalog, datasets, fitting, laws, measures, probes, runs, sweeps
from physlm import experiment as experiments
from physlm.errors import ExperimentError, LawDataError, PhyslmError
from physlm.evaluation import jobs
from physlm.evaluation.jobs import Job
from physlm.experiment import CHOSEN_BY, Experiment
from physlm.fitting import pooling, random_effects, robustness
from physlm.launch import local, planning
from physlm.launch.local import Workers
from physlm.runs import Run
from physlm.store import Store
from physlm.training import layout

_TRIED = 200  # resamples of fits under other conventions: whether a conclusion turns, not by how much
_ALWAYS = ("held_out", "parameters", "parameters_counted")


@dataclass(frozen=True)
class Event:
    """What a step tells while it works.

    step          its name
    done, total   of its work, in `unit`
    text          a sentence, where there is something to say
    """

    step: str
    done: float = 0.0
    total: float = 0.0
    unit: str = ""
    text: str = ""


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""


def known_names() -> dict[str, list[str]]:
    """Valid names of measures, probes and laws, for reading an experiment file."""
    return {"measure": measures.names(), "probe": list(probes.registry), "laws": list(laws.registry)}


def check(experiment: Experiment) -> None:
    """Raise ExperimentError if a measure or a probe doesn't suit a task or a model."""
    languages = list({run.task: run.language for run in experiment.runs}.values())
    models = list(dict.fromkeys(run.model for run in experiment.runs))
    for name in experiment.measures:
        for task in languages:
            for model in models:
                if reason := measures.find(name).unsupported_reason(task, model):
                    raise ExperimentError(f"measure: {name} can't be taken: {reason}")
    for name, knobs in experiment.probes.items():
        probe = probes.make(name, knobs)
        for task in languages:
            for model in models:
                if reason := probe.unsupported_reason(task, model):
                    raise ExperimentError(f"probe: {name} can't be trained: {reason}")


def plan(store: Store, experiment: Experiment, on_event: Listener = silent) -> dict[str, Any]:
    """Check that the experiment makes sense as a whole, and write its file and its plan.

    Raises ExperimentError before anything is written.
    """
    check(experiment)
    document = summary(experiment)
    store.put(f"{experiment.key}/experiment.yaml", experiment.source.encode())
    store.put_json(f"{experiment.key}/plan.json", {**document, "run_ids": [run.run_id for run in experiment.runs]})
    left = len(untrained(store, experiment.runs))
    on_event(Event("plan", len(experiment.runs) - left, len(experiment.runs), "runs", f"{left} runs to train"))
    return document


def summary(experiment: Experiment) -> dict[str, Any]:
    """What the experiment would run: counts, parameters, tokens and FLOPs.

    runs_before: that these go on from. Tokens and FLOPs are those of all, and what runs share is counted once.
    """
    runs = experiment.runs
    return {
        "experiment": experiment.name,
        "experiment_id": experiment.experiment_id,
        "question": experiment.file.question,
        "runs": len(runs),
        "conditions": len({run.condition_id for run in runs}),
        "runs_before": len(experiment.by_id) - len({run.run_id for run in runs}),
        "cohorts": sum(len(planning.cohorts(wave)) for wave in experiment.waves),
        "worlds": len({run.world_id for run in experiment.by_id.values()}),
        "held_out_runs": sum(map(experiment.held_out, runs)),
        "parameters": sorted({run.parameters_counted for run in runs}),
        "tokens": experiment.tokens,
        "flops": experiment.flops,
    }


def open_experiment(store: Store, key: str) -> Experiment:
    """The experiment that `plan` has written under this key."""
    return experiments.parse(store.get(f"{key}/experiment.yaml").decode(), known_names())


def generate(store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
    """Write each world once: the facts, the evaluation sets, and a card that says what they are, with checksums."""
    everything = experiment.by_id.values()
    configs = {config for run in everything for config in (run.task, *run.mixed.values())}
    worlds = {runs.world_id(config): config for config in configs}
    for done, (_, config) in enumerate(sorted(worlds.items()), 1):
        datasets.write_world(store, config)
        on_event(Event("generate", done, len(worlds), "worlds"))


def untrained(store: Store, runs: Iterable[Run]) -> list[Run]:
    """The runs that aren't complete in the store."""
    return [run for run in runs if not store.exists(layout.completed_key(run.run_id))]


def train(
    store: Store,
    experiment: Experiment,
    on_event: Listener = silent,
    *,
    processes: int | None = None,
    nproc: int | None = None,
    checkpoint_seconds: float = 20.0,
) -> None:
    """Train the runs that aren't complete, in one process per core unless told otherwise, or with one rank per GPU.

    processes: shards that are trained at once. nproc: ranks that train each of them, under torchrun.

    Raises Interrupted on Ctrl-C; the store then holds a state to go on from.
    """
    waves = [(wave, rest) for wave in experiment.waves if (rest := untrained(store, wave))]
    workers = Workers.make(processes, nproc)
    for wave, rest in waves:
        _train(store, experiment, rest, len(wave) - len(rest), on_event, workers, checkpoint_seconds)
    if not waves:
        on_event(Event("train", 1, 1, text=f"nothing to train: all {len(experiment.runs)} runs are in the store"))


def _train(
    store: Store,
    experiment: Experiment,
    runs: list[Run],
    finished: int,
    on_event: Listener,
    workers: Workers,
    checkpoint_seconds: float,
) -> None:
    shards = planning.shards(runs, workers.processes)
    key = _put_manifest(store, experiment, "shards", [shard.cohorts for shard in shards])
    total = sum(shard.work for shard in shards)
    done = {"work": 0.0, "runs": 0}
    rates: dict[int, float] = {}
    say = f"{finished} of {finished + len(runs)} runs are in the store" if finished else ""
    on_event(Event("train", 0, total, "work", say))

    def on_progress(shard: int, event: Mapping[str, Any]) -> None:
        if "metrics" in event:
            on_event(Event("train", done["work"], total, "work", f"metrics of shard {shard}: {event['metrics']}"))
            return
        done["work"] += planning.work(event["tokens"], event["flops"])
        done["runs"] += event["completed"]
        rates[shard] = event["tokens_per_second"]
        rate = f"{sum(rates.values()) / 1e3:,.0f} k tokens/s, {done['runs']:.0f} of {len(runs)} runs"
        on_event(Event("train", done["work"], total, "work", rate))

    arguments = ["--store", store.url, "--runs", key, "--checkpoint-seconds", str(checkpoint_seconds)]
    local.run_shards("physlm.training", arguments, len(shards), on_progress, workers.nproc)
    if left := untrained(store, runs):
        raise PhyslmError(f"{len(left)} runs were not completed, such as {left[0].run_id}; run the same again to go on")


def trained(store: Store, experiment: Experiment) -> dict[str, Any]:
    """What training has come to: runs and how many of them diverged, tokens, FLOPs, seconds. All must be complete."""
    markers = [store.get_json(layout.completed_key(run.run_id)) for run in experiment.runs]
    return {
        "runs": len(markers),
        "diverged": sum(marker["status"] == "diverged" for marker in markers),
        **{name: sum(marker[name] for marker in markers) for name in ("tokens", "flops", "seconds")},
    }


def measure(
    store: Store,
    experiment: Experiment,
    on_event: Listener = silent,
    *,
    processes: int | None = None,
    nproc: int | None = None,
) -> None:
    """Take the measures that the store doesn't hold yet from the trained models, in one process per core.

    processes, nproc: as in training; here ranks share nothing but the work. Raises Interrupted on Ctrl-C.
    """
    _observe(store, experiment, jobs.measuring(experiment), on_event, Workers.make(processes, nproc))


def probe(
    store: Store,
    experiment: Experiment,
    on_event: Listener = silent,
    *,
    processes: int | None = None,
    nproc: int | None = None,
) -> None:
    """Train the probes that the store doesn't hold yet on the trained models; the rest is as in `measure`."""
    _observe(store, experiment, jobs.probing(experiment), on_event, Workers.make(processes, nproc))


def _observe(
    store: Store,
    experiment: Experiment,
    wanted: Sequence[Job],
    on_event: Listener,
    workers: Workers,
) -> None:
    left = [jobs.pending(store, job) for job in wanted]
    total = sum(len(job.runs) for job in wanted)
    done = float(total - sum(len(job.runs) for job in left))
    parts = jobs.partition(left, experiment.by_id, workers.processes * workers.nproc)
    if not parts:
        return
    step, unit = wanted[0].step, f"{wanted[0].step}s of runs"

    def on_progress(name: str, runs: float) -> None:
        nonlocal done
        done += runs
        on_event(Event(step, done, total, unit, name))

    on_progress("", 0)
    if len(parts) == 1:
        from physlm.evaluation.running import run_job

        for job in parts[0]:
            run_job(store, experiment, job, partial(on_progress, job.name))
        return
    shards = jobs.shards(parts, workers.nproc)
    key = _put_manifest(store, experiment, "jobs", shards)
    arguments = ["--store", store.url, "--jobs", key]
    local.run_shards("physlm.evaluation", arguments, len(shards), lambda _, event: on_progress(**event), workers.nproc)


def _put_manifest(store: Store, experiment: Experiment, folder: str, shards: Sequence[Any]) -> str:
    """Write what each shard has to do, and return the key."""
    manifest = {"experiment": experiment.source, "shards": shards}
    key = f"{experiment.key}/{folder}/{hashlib.sha256(json.dumps(manifest).encode()).hexdigest()[:12]}.json"
    store.put_json(key, manifest)
    return key


def collect(store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
    """Gather the experiment's observations from the catalogue into one table, and store it; memory is bounded.

    Adds the columns `experiment`, `held_out` and `chosen`: false for runs of a sweep that aren't the best of their
    condition. Which are is stored as `sweep.json`. Diverged runs are in it with their learning curves alone.
    """
    observed = (*jobs.measuring(experiment), *jobs.probing(experiment))
    sources = [layout.CURVE_SOURCE, *(job.source for job in observed)]
    held_out = [run.run_id for run in experiment.runs if experiment.held_out(run)]
    with catalog.gathered(store, [run.run_id for run in experiment.runs], sources) as table:
        choices = sweeps.choose(experiment, final(table, measures=[CHOSEN_BY])) if experiment.file.sweep else []
        if choices:
            store.put_json(sweeps.key(experiment), [choice.to_json() for choice in choices])
            chosen = [run_id for choice in choices for run_id in choice.run_ids]
        else:
            chosen = [run.run_id for run in experiment.runs]
        marked = table.with_columns(
            pl.lit(experiment.name).alias("experiment"),
            pl.col("run_id").is_in(held_out).alias("held_out"),
            pl.col("run_id").is_in(chosen).alias("chosen"),
        )
        rows = catalog.write_scanned(store, marked, experiment.observations_key)
    on_event(Event("collect", rows, rows, "observations"))


def fit(store: Store, experiment: Experiment, on_event: Listener = silent) -> list[fitting.Fit]:
    """Fit the laws to the collected observations, test them on what is held out, and store them as JSON.

    Of a sweep only the best runs count. A law that the observations can't identify is stored with the reason (see
    `fitted`), and the page tells it: what was observed is worth its page all the same.
    """
    fits = []
    for done, name in enumerate(experiment.file.laws, 1):
        try:
            table = table_of(store, experiment, name)
            result = fitting.fit(name, table, hold_out=pl.col("held_out"))
        except LawDataError as error:
            store.put_json(experiment.law_key(name), {"law": name, "refused": str(error)})
        else:
            store.put_json(experiment.law_key(name), result.to_json())
            tried = robustness.robustness(
                laws.registry[name], table, result, hold_out="held_out", resamples=_TRIED, compare=False
            )
            store.put_json(experiment.conventions_key(name), [outcome.to_json() for outcome in tried])
            store.put_json(
                experiment.groups_key(name), [found.to_json() for found in _grouped(store, experiment, name)]
            )
            catalog.laws.record(store, result, experiment.key, _scored(store, experiment, result))
            fits.append(result)
        on_event(Event("fit", done, len(experiment.file.laws), "laws", name))
    return fits


def _grouped(store: Store, experiment: Experiment, law: str) -> Iterator[pooling.Universality]:
    """One law for all against one for each value of a varied knob of which the law says nothing, and for each seed."""
    own = fitting.needed(laws.registry[law]).columns
    varied = [path for path in experiment.varied if path not in own]
    for by in [*varied, *(["seed"] if len(experiment.file.seeds) >= random_effects.FEWEST else [])]:
        with suppress(LawDataError):  # groups that each can't identify the law don't tell whether they share it
            yield pooling.universality(
                laws.registry[law],
                table_of(store, experiment, law, [by]),
                by,
                hold_out="held_out",
                resamples=_TRIED,
            )


def table_of(store: Store, experiment: Experiment, law: str, beside: Sequence[str] = ()) -> pl.DataFrame:
    """What a law is fitted to: the last observations of its measures, and the columns that it or `beside` names."""
    needed = fitting.needed(laws.registry[law])
    with catalog.scanned(store, experiment.observations_key) as observed:
        chosen = observed.filter("chosen")
        names = chosen.select(pl.col("measure").unique()).collect(engine="streaming")["measure"].drop_nulls()
        columns = [*needed.columns, *_ALWAYS, *beside]
        return final(chosen, columns, needed.measures(names), places=needed.places, curve=needed.curve)


def measured(store: Store, experiment: Experiment, measure: str) -> dict[str, pl.DataFrame]:
    """The last observation of each run, diverged ones left out, of each measure that a regular expression names.

    Raises LawDataError if no run was measured so, or the expression is none.
    """
    try:
        pattern = re.compile(measure)
    except re.error as error:
        raise LawDataError(f"{measure!r} is no regular expression: {error}") from None
    with catalog.scanned(store, experiment.observations_key) as observed:
        chosen = observed.filter("chosen")
        names = chosen.select(pl.col("measure").unique()).collect(engine="streaming")["measure"].drop_nulls()
        found = final(chosen, ["n", "chance", "stderr"], [name for name in names if pattern.fullmatch(name)])
        found = found.drop_nulls("value")
    if not found.height:
        raise LawDataError(f"no run was measured for {measure}")
    return {str(name): rows for (name,), rows in found.group_by("measure", maintain_order=True)}


def _scored(store: Store, experiment: Experiment, fit: fitting.Fit) -> str | None:
    """Id of the score of a law that was registered, once all held-out runs have finished."""
    registration = catalog.preregistration.find(store, experiment.name, experiment.experiment_id)
    if registration is None:
        return None
    finished = [run_id for run_id in registration["held_out"] if store.exists(layout.completed_key(run_id))]
    score = catalog.preregistration.score(store, registration, fit, finished)
    return None if score is None else str(score["id"])


def preregister(store: Store, experiment: Experiment) -> dict[str, Any]:
    """Freeze the experiment's laws and its held-out runs before these start; returns the registration.

    Raises UserError if a held-out run has started, or nothing is held out. `fit` scores the laws once, when all
    held-out runs have finished.
    """
    check(experiment)
    held_out = [run.run_id for run in experiment.runs if experiment.held_out(run)]
    return catalog.preregistration.register(
        store, experiment.name, experiment.experiment_id, experiment.file.question, experiment.file.laws, held_out
    )


def fitted(store: Store, experiment: Experiment) -> tuple[list[fitting.Fit], dict[str, str]]:
    """The laws that `fit` has fitted, and by name of the others why it could not."""
    documents = {name: store.get_json(experiment.law_key(name)) for name in experiment.file.laws}
    fits = [fitting.Fit.from_json(document) for document in documents.values() if "refused" not in document]
    return fits, {name: document["refused"] for name, document in documents.items() if "refused" in document}


def final(
    table: pl.LazyFrame,
    columns: Sequence[str] = (),
    measures: Sequence[str] | None = None,
    *,
    places: bool = False,
    curve: bool = False,
) -> pl.DataFrame:
    """The last observation of each run and measure, of models as wholes.

    columns   what is read beside run, measure, value and tokens, where the table has it
    measures  these alone; all if not given
    places    of each layer and position too
    curve     all observations over training, not the last alone
    """
    one = ["run_id", "measure", *(["target", "layer", "position"] if places else [])]
    known = table.collect_schema().names()
    asked = [name for name in dict.fromkeys([*one, "value", "tokens", *columns]) if name in known]
    rows = table if places else catalog.overall(table)
    if measures is not None:
        rows = rows.filter(pl.col("measure").is_in(list(measures)))
    if curve:
        return rows.select(asked).collect(engine="streaming").sort(*one, "tokens")
    last = rows.group_by(one).agg(pl.col("tokens").max())
    found = rows.select(asked).join(last, on=[*one, "tokens"], how="semi", nulls_equal=True)
    return found.collect(engine="streaming").unique(one, keep="last").sort(one)


def report(store: Store, experiment: Experiment, on_event: Listener = silent) -> str:
    """Make the experiment's page and figures from what is stored; returns the page's key."""
    from physlm.evaluation.declarations import declarations
    from physlm.report import page

    key = page.write(store, experiment, declarations())
    on_event(Event("report", 1, 1, "pages", key))
    return key


def run(
    store: Store,
    experiment: Experiment,
    on_event: Listener = silent,
    *,
    processes: int | None = None,
    nproc: int | None = None,
) -> str:
    """All steps in their order on this machine; returns the key of the report page."""
    plan(store, experiment, on_event)
    generate(store, experiment, on_event)
    train(store, experiment, on_event, processes=processes, nproc=nproc)
    measure(store, experiment, on_event, processes=processes, nproc=nproc)
    probe(store, experiment, on_event, processes=processes, nproc=nproc)
    collect(store, experiment, on_event)
    fit(store, experiment, on_event)
    return report(store, experiment, on_event)
