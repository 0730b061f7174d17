"""Observations: written whole, read back as they were, gathered over runs of different tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from physlm import catalog
from physlm.catalog import Moment, Observation
from physlm.errors import CorruptObject
from physlm.store import layout, open_store

if TYPE_CHECKING:
    from tests.conftest import S3Server

RUN = {"run_id": "a1", "condition": "c1", "seed": 3, "parameters": 10, "parameters_counted": 9, "model.width": 8}
ROWS = [
    (Moment(100, 2.5, 1e6), Observation("loss", 1.25, "nats per token", 0.1, 40, 4.0, 0.5)),
    (Moment(200, 5.0, 2e6), Observation("loss", None, "nats per token")),
]


def test_a_table_reads_back_as_it_was(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    table = catalog.table(RUN, "loss-v1", ROWS)
    catalog.write(store, table, layout.run_observations_key("a1", "loss-v1"))
    assert catalog.read(store, layout.run_observations_key("a1", "loss-v1")).equals(table)
    assert table["model.width"].to_list() == [8, 8]
    assert table["value"].to_list() == [1.25, None]
    assert pl.read_parquet(tmp_path / "runs/a1/observations/loss-v1.parquet").equals(table)


def test_runs_of_different_tasks_share_a_table(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    other = {**RUN, "run_id": "b2", "model.heads": 4}
    for run in (RUN, other):
        catalog.write(
            store, catalog.table(run, "loss-v1", ROWS), layout.run_observations_key(str(run["run_id"]), "loss-v1")
        )
    table = catalog.collect(store, ["b2", "a1", "missing"], ["loss-v1", "missing"])
    assert table["run_id"].to_list() == ["a1", "a1", "b2", "b2"]
    assert table["model.heads"].to_list() == [None, None, 4, 4]


def test_nothing_collected_is_an_empty_table(tmp_path: Path) -> None:
    table = catalog.collect(open_store(tmp_path), ["missing"], ["loss-v1"])
    assert table.height == 0
    assert "measure" in table.columns


def test_a_table_from_before_there_were_probes_reads_with_empty_columns(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    old = catalog.table(RUN, "loss-v1", ROWS).drop("target", "layer", "position")
    catalog.write(store, old, layout.run_observations_key("a1", "loss-v1"))
    read = catalog.read(store, layout.run_observations_key("a1", "loss-v1"))
    assert read.select(old.columns).equals(old)
    assert read.select("target", "layer", "position").null_count().row(0) == (2, 2, 2)
    assert catalog.overall(catalog.collect(store, ["a1"], ["loss-v1"])).height == 2


def test_a_model_as_a_whole_is_told_from_its_layers(tmp_path: Path) -> None:
    moment = ROWS[0][0]
    places: list[dict[str, int]] = [{}, {"layer": 0}, {"layer": 1}, {"position": 0}]
    rows = [(moment, Observation("probe.p.x", float(i), "1", target="x", **at)) for i, at in enumerate(places)]
    table = catalog.table(RUN, "probe-p-v1", rows)
    assert table["layer"].to_list() == [None, 0, 1, None]
    assert catalog.overall(table)["value"].to_list() == [0.0]
    store = open_store(tmp_path)
    catalog.write(store, table, layout.run_observations_key("a1", "probe-p-v1"))
    assert catalog.collect(store, ["a1"], ["probe-p-v1"]).height == 4


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("runs/a1/observations/loss-v1.parquet", b"not parquet")
    with pytest.raises(CorruptObject, match=r"runs/a1/observations/loss-v1\.parquet is not a Parquet table"):
        catalog.collect(store, ["a1"], ["loss-v1"])


def cohort(names: list[str], count: int, **knobs: object) -> dict[str, pl.DataFrame]:
    rows = [(Moment(100 * i, i, 1e6 * i), Observation("loss", 4.0 / (1 + i), "nats per token")) for i in range(count)]
    return {name: catalog.table({**RUN, "run_id": name, **knobs}, "loss-v1", rows) for name in names}


@pytest.mark.parametrize("cells", [1, 300, 1 << 20])
def test_memory_is_bounded_and_the_table_the_same(tmp_path: Path, cells: int) -> None:
    """Whatever is held at once; whether a run is in a batch, in its own file, or in both."""
    store = open_store(tmp_path)
    names = [f"{i:02x}" for i in range(17)]
    some, wide, own = cohort(names[::3], 5), cohort(names[1::3], 2, **{"model.heads": 4}), cohort(names[2::3], 3)
    catalog.write_batch(store, "loss-v1", some)
    catalog.write_batch(store, "loss-v1", wide)
    for name, table in {**own, names[0]: some[names[0]]}.items():
        catalog.write(store, table, layout.run_observations_key(name, "loss-v1"))
    with catalog.gathered(store, names[::-1], ["loss-v1"], cells=cells) as scan:
        table = scan.collect()
    together = {**some, **wide, **own}
    expected = pl.concat([together[name] for name in names], how="diagonal_relaxed")
    assert table.select(expected.columns).equals(expected)
    assert table.equals(catalog.collect(store, names, ["loss-v1"]))


def test_a_run_in_two_batches_counts_once(tmp_path: Path) -> None:
    """Two submissions of one experiment measured it at the same time, in other cohorts."""
    store = open_store(tmp_path)
    catalog.write_batch(store, "loss-v1", cohort(["a1", "b2"], 3))
    catalog.write_batch(store, "loss-v1", cohort(["b2", "c3"], 3))
    stored = set(store.list())
    catalog.write_batch(store, "loss-v1", cohort(["b2", "c3"], 3))
    assert set(store.list()) == stored
    table = catalog.collect(store, ["a1", "b2", "c3"], ["loss-v1"])
    assert table["run_id"].to_list() == ["a1"] * 3 + ["b2"] * 3 + ["c3"] * 3
    assert catalog.collect(store, ["c3"], ["loss-v1"])["run_id"].unique().to_list() == ["c3"]


def test_runs_without_rows_are_observed_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    catalog.write_batch(store, "loss-v1", cohort(["a1"], 0))
    catalog.write_batch(store, "loss-v1", cohort(["b2"], 0))
    catalog.write(store, cohort(["c3"], 2)["c3"], layout.run_observations_key("c3", "loss-v1"))
    assert catalog.observed(store, ["a1", "b2", "c3", "d4"], "loss-v1") == {"a1", "b2", "c3"}
    assert catalog.collect(store, ["a1", "b2"], ["loss-v1"]).height == 0


def test_a_batch_without_its_index_does_not_count(tmp_path: Path) -> None:
    """Its writer was killed between the two; the next one writes both again."""
    store = open_store(tmp_path)
    catalog.write_batch(store, "loss-v1", cohort(["a1"], 2))
    (index,) = (found for found in store.list("observations/") if found.endswith(".json"))
    store.delete(index)
    assert catalog.observed(store, ["a1"], "loss-v1") == set()
    catalog.write_batch(store, "loss-v1", cohort(["a1"], 2))
    assert catalog.collect(store, ["a1"], ["loss-v1"]).height == 2


@pytest.mark.slow
@pytest.mark.services
def test_a_bucket_holds_batches_as_a_folder_does(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket, folder = open_store(f"s3://{s3_server.bucket}/catalogue"), open_store(tmp_path)
    tables = []
    for store in (bucket, folder):
        catalog.write_batch(store, "loss-v1", cohort(["a1", "b2"], 3))
        catalog.write_batch(store, "loss-v1", cohort(["b2", "c3"], 3))
        catalog.write(store, cohort(["d4"], 3)["d4"], layout.run_observations_key("d4", "loss-v1"))
        assert catalog.observed(store, ["a1", "d4", "e5"], "loss-v1") == {"a1", "d4"}
        with catalog.gathered(store, ["a1", "b2", "c3", "d4"], ["loss-v1"], cells=50) as table:
            assert catalog.write_scanned(store, table, "experiment/observations.parquet") == 12
        with catalog.scanned(store, "experiment/observations.parquet") as table:
            tables.append(table.collect())
    assert tables[0].equals(tables[1])
    assert set(bucket.list("observations/")) == set(folder.list("observations/"))
