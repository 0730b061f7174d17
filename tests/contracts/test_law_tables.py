"""Every law can be named in an experiment: real tasks, measures, probes and learning curves write all that it asks for.

Each study is a real experiment, its runs trained for a few steps, measured and collected. Nothing is learned in so
short a time, so what the law is about is then set to what the law says, in the rows that were written, and the laws are
fitted as `physlm run` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from physlm import catalog, experiment, fitting, laws, steps
from physlm.experiment import Experiment
from physlm.fitting import form_of
from physlm.fitting.data import wide
from physlm.fitting.simulation import columns_of
from physlm.launch import planning
from physlm.laws.noise import Binomial
from physlm.measures import accuracy, kl, loss, mistakes, validity
from physlm.probes import depth
from physlm.store import Store, open_store
from physlm.training.loop import Options, train

FAST = {accuracy: "QUESTIONS", mistakes: "QUESTIONS", loss: "INSTANCES", kl: "SENTENCES", validity: "SENTENCES"}
Number = Callable[[int], float]
SHORT = {"instances": 60, "questions": 200, "steps": 2}


@dataclass(frozen=True)
class Study:
    """An experiment, and what the law is simulated with.

    truth   parameters by name, those of the law's example unless given
    values  of measures that the law reads beside its response: a number for each of their rows, in turn
    items   what accuracies are of: enough for a precise test
    """

    law: str
    task: Mapping[str, Any]
    measure: Sequence[str]
    vary: Mapping[str, Sequence[Any]]
    truth: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Number] = field(default_factory=dict)
    probe: Sequence[Mapping[str, Any]] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1)

    @property
    def experiment(self) -> Experiment:
        budget = {} if {"tokens", "exposures"} & {path.split(".")[-1] for path in self.vary} else {"tokens": 600}
        document = {
            "apiVersion": "physlm/v1",
            "kind": "Experiment",
            "name": self.law.replace("_", "-"),
            "question": "Can the law be fitted?",
            "task": dict(self.task),
            "model": {"type": "gpt2", "layers": 1, "heads": 1, "width": 8, **self.model},
            "training": {"batch_size": 8, **budget, **self.training},
            "vary": {path: list(values) for path, values in self.vary.items()},
            "seeds": list(self.seeds),
            "measure": list(self.measure),
            "probe": list(self.probe),
            "laws": [self.law],
        }
        return experiment.parse(yaml.safe_dump(document), steps.known_names())


BIOD = {"type": "biod", "people": 400, "vocabulary": 16, "diversity": 16}
EXPOSED = {"training.exposures": [1, 2, 3, 4]}
BIOS = {"type": "bios", "people": 40, "sentences": 2, "names": [10, 10, 10], "qa_fraction": 0.5, "wordings": 1}
BIOS |= {"years": 5, "cities": 5, "universities": 5, "majors": 5, "companies": 5}
IGSM = {"type": "igsm", "max_op": 5, "max_edges": 3, "max_depth": 2, "max_width": 2, "modulus": 7, "max_tokens": 192}
IGSM |= {"chains": 1, "names": 4, "letters": 7}
CFG = {"type": "cfg", "sizes": [1, 2, 2], "degree": [2, 2], "length": [2, 2]}
ASKED = {**{k: v for k, v in BIOS.items() if k != "wordings"}, "type": "manipulation", "people": 60}
SIZED = {"model.width": [8, 12, 16], "training.tokens": [300, 600, 1200, 2400]}

STUDIES = [
    Study(
        "capacity",
        BIOD,
        ["knowledge_bits"],
        {"model.width": [8, 12], **EXPOSED},
        {"c_max": 2.5, "E_0": 2.0, "gamma": 1.5, "s": 8.0},
    ),
    Study("exposures", BIOD, ["knowledge_bits"], EXPOSED, {"c_max": 2.2, "E_0": 2.0, "gamma": 1.5}),
    Study(
        "architecture",
        BIOD,
        ["knowledge_bits"],
        {"model.mlp": ["gelu", "none", "gated"], "model.canon": ["", "AB"], "training.exposures": [1, 2]},
        {
            "c_0[1]": 1.0,
            "c_0[2]": 2.0,
            **{
                f"m[{a},{e}]": 0.7 + 0.1 * e for a in ("gated", "gated+canon", "no_mlp", "no_mlp+canon") for e in (1, 2)
            },
            **{f"m[gpt2+canon,{e}]": 1.1 for e in (1, 2)},
        },
    ),
    Study(
        "moe",
        BIOD,
        ["knowledge_bits"],
        {"model.experts": [2, 4, 8], "training.exposures": [1, 2]},
        {"c_1[1]": 1.0, "c_1[2]": 2.0, "kappa[1]": 0.1, "kappa[2]": 0.05},
        model={"mlp": "experts"},
    ),
    Study(
        "junk",
        {**BIOD, "people": 200, "junk_people": 500},
        ["knowledge_bits"],
        {"task.junk_fraction": [0, 0.5], "task.tag": [False, True], "training.exposures": [1, 2, 3]},
        {"c_max": 2.2, "E_0": 1.5, "a[junk]": 0.2, "a[tagged]": 0.1, "kappa[junk]": 0.4, "kappa[tagged]": 0.5},
    ),
    Study(
        "quantisation",
        BIOD,
        ["knowledge_bits", *(f"knowledge_bits@int{bits}" for bits in (8, 6, 5, 4, 3))],
        {"model.width": [8, 12]},
    ),
    Study(
        "memorisation",
        {"type": "strings", "length": 8, "symbols": 16},
        ["memorised_bits"],
        {"task.strings": [50, 200, 800], "model.width": [8, 12]},
    ),
    Study(
        "augmentation",
        BIOS,
        ["accuracy"],
        {"task.wordings": [1, 2, 5], "task.permute": [False, True], "task.fullname": [False, True]},
    ),
    Study(
        "extraction",
        {**BIOS, "questions": ["birth_city", "university", "major", "company"]},
        ["accuracy"],
        {"task.wordings": [1, 2]},
        values={r"probe\.q\.\w+": lambda i: 0.1 + 0.8 * (i * 0.381966 % 1)},
        probe=[{"type": "q", **SHORT}],
    ),
    Study(
        "manipulation",
        {**ASKED, "questions": ["month_mod_2", "rank_month"]},
        ["accuracy"],
        {"task.people": [20, 40, 80, 160]},
        {"n_0[month_mod_2]": 25.0, "n_0[rank_month]": 60.0, "gamma": 1.2},
    ),
    Study(
        "hint_composition",
        {**ASKED, "questions": ["month_mod_2", "rank_month"], "hints": 0.5},
        ["accuracy"],
        {"task.people": [20, 30, 40, 80]},
        values={r"answer\.fact_right\..+": lambda i: 0.2 + 0.7 * (i * 0.381966 % 1)},
    ),
    Study("reasoning_length", IGSM, ["accuracy"], {"model.width": [8, 12]}, {"eps_0": 0.02, "b": 0.4}),
    Study("retry", IGSM, ["accuracy"], {"task.retry_rate": [0, 0.2, 0.5]}),
    Study("depth", IGSM, ["accuracy"], {"model.layers": [1, 2, 3], "model.width": [8, 12]}),
    Study(
        "skill",
        {"type": "mano", "operations": 1, "modulus": 5},
        ["accuracy", "loss"],
        {"training.tokens": [100, 150, 200, 250, 300, 350, 400, 450, 500]},
        values={"loss": lambda i: 0.4 + 0.1 * i},
    ),
    Study(
        "time_to_skill",
        {"type": "depo", "vertices": 4, "name_symbols": 16, "name_tokens": [1, 1]},
        ["loss"],
        {"task.hops": [1, 2, 3, 4], "model.canon": ["", "AB"]},
        {"rho[gpt2]": 1.8, "rho[gpt2+canon]": 1.4},
        training={"tokens": 4000, "batch_size": 1},
    ),
    Study(
        "probe_depth",
        IGSM,
        ["loss"],
        {"model.width": [8]},
        {"l_0": 0.6, "kappa": 0.8},
        probe=[{"type": "depth", **SHORT}],
        model={"layers": 4},
    ),
    Study("cfg_kl", CFG, ["loss"], SIZED, {"A": 3.0, "B": 30.0, "alpha": 0.5, "beta": 0.45}),
    Study(
        "cfg_validity",
        CFG,
        ["kl", "validity"],
        {"training.tokens": [150, 300, 450, 600, 750, 900, 1050]},
        values={"kl": lambda i: 0.02 * (i + 1), "sentence_length": lambda i: 6 + i % 3},
    ),
    Study("chinchilla", CFG, ["loss"], SIZED, {"E": 0.5, "A": 3.0, "B": 30.0, "alpha": 0.5, "beta": 0.45}),
    Study(
        "repetition",
        BIOD,
        ["loss"],
        {"model.width": [8, 12, 16], "task.people": [40, 80, 160], "training.exposures": [1, 4, 16]},
        {"E": 0.5, "A": 3.0, "B": 30.0, "alpha": 0.4, "beta": 0.45, "R*": 5.0},
        training={"context_length": 64},
        seeds=(0,),
    ),
]


def test_every_law_has_a_study() -> None:
    assert {study.law for study in STUDIES} == set(laws.registry)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.law)
def test_an_experiment_feeds_the_law(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in FAST.items():
        monkeypatch.setattr(module, name, 20)
    monkeypatch.setattr(depth, "FEWEST", 2)
    store, made = open_store(tmp_path), study.experiment
    steps.check(made)
    for cohort in planning.cohorts(made.runs):
        train(store, cohort, Options(torch.device("cpu")))
    for step in (steps.measure, steps.probe):
        step(store, made, processes=1)  # this one, where all is made fast
    steps.collect(store, made)
    truth = simulate(store, made, study)
    (fit,) = steps.fit(store, made) or pytest.fail(str(steps.fitted(store, made)[1]))
    assert fit.converged
    assert set(truth) == {e.name for e in fit.estimates}
    data = {name: np.array(column) for name, column in fit.data.items()}
    said = fit.model.predict(np.array(list(truth.values())), data)
    np.testing.assert_allclose(fit.model.predict(fit.values, data), said, rtol=5e-3, atol=2e-3)


def simulate(store: Store, made: Experiment, study: Study) -> dict[str, float]:
    """Set what was observed to what the law says of it; returns the parameters that it says it with."""
    law = laws.registry[study.law]
    key = f"{made.key}/observations.parquet"
    table = catalog.read(store, key)
    for pattern, number in study.values.items():
        here = table["measure"].str.contains(f"^({pattern})$")
        assert here.any(), pattern
        table = table.with_columns(value=pl.when(here).then(numbers(here, number)).otherwise(pl.col("value")))
    if isinstance(law.noise, Binomial):
        table = table.with_columns(n=pl.when(pl.col("n").is_not_null()).then(10**6))
    if study.law == "probe_depth":  # accuracies that rise through 3/4 where the law says
        distance = pl.col("measure").str.extract(r"^probe\.depth\.nece_(\d+)$").cast(pl.Int64)
        frontier = study.truth["l_0"] + study.truth["kappa"] * distance + 1e-3 * pl.col("seed")
        read = 0.75 + 0.2 * (pl.col("layer") - frontier)
        table = table.with_columns(value=pl.when(distance.is_null()).then(pl.col("value")).otherwise(read))
        catalog.write(store, table, key)
        return dict(study.truth)
    catalog.write(store, table, key)
    needed = steps.table_of(store, made, study.law)
    rows = wide(law, needed)
    form = form_of(law, rows)
    truth = {p.name: study.truth.get(p.name, law.example().truth.get(p.name, p.guesses[0])) for p in form.parameters}
    found = form.predict(np.array(list(truth.values())), columns_of(form, rows))
    scatter = 0 if law.noise.share else 1e-3 * np.random.default_rng(0).standard_normal(len(found))
    found = found * np.exp(scatter)
    if law.made_from is not None:  # a learning curve that falls to an even chance at the time that the law tells
        time = dict(zip(rows["run_id"], found, strict=True))
        goal = pl.col("run_id").replace_strict(time, return_dtype=pl.Float64)
        is_curve = pl.col("measure") == law.made_from.measure
        scale = table.filter(is_curve)["tokens"].max()
        assert isinstance(scale, int)
        truth["T_1"] *= scale / max(time.values()) / 2
        goal = goal * scale / max(time.values()) / 2
        loss = np.log(2) * (goal / pl.col("tokens")) ** 0.2
        table = table.with_columns(value=pl.when(is_curve).then(loss).otherwise(pl.col("value")))
    else:
        names = law.response.matching(table["measure"].unique())
        here = table["measure"].is_in(list(names))
        by_place = pl.any_horizontal(pl.col("layer", "position").is_not_null()) == needed_by_place(law)
        here = table.select(by_place & here)["layer"]
        assert here.sum() == len(found)
        values = dict(zip(np.flatnonzero(here), found, strict=True))
        table = table.with_columns(value=pl.Series([values.get(i, v) for i, v in enumerate(table["value"])]))
    catalog.write(store, table, key)
    return truth


def needed_by_place(law: type[laws.Law]) -> bool:
    return fitting.needed(law).places


def numbers(here: pl.Series, number: Number) -> pl.Series:
    """A number for each row that is meant."""
    place = (here.cast(pl.Int64).cum_sum() - 1).to_list()
    return pl.Series([number(i) if row else None for i, row in zip(place, here, strict=True)], dtype=pl.Float64)
