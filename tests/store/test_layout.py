"""One file knows where things are in a store, and they stay there: what was stored by an older version is found."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import physlm
from physlm.store import layout
from physlm.store.keys import is_key

KEYS = {
    "runs/r1/run.json": layout.run_key("r1"),
    "runs/r1/trained.json": layout.completed_key("r1"),
    "runs/r1/checkpoints/000000000000042/state.safetensors": layout.state_key("r1", 42),
    "runs/r1/checkpoints/000000000000042/model.safetensors": layout.model_key("r1", 42),
    "runs/r1/checkpoints/000000000000042/sharded/clock.json": layout.sharded_clock_key("r1", 42),
    "runs/r1/checkpoints/000000000000042/sharded/part.safetensors": layout.sharded_key("r1", 42, "part.safetensors"),
    "runs/r1/observations/train-v1.parquet": layout.run_observations_key("r1", "train-v1"),
    "observations/loss-v1/d1.parquet": layout.batch_key("loss-v1", "d1"),
    "observations/loss-v1/d1.r1.json": layout.batch_index_key("loss-v1", "d1", "r1"),
    "worlds/w1/facts.safetensors": layout.facts_key("w1"),
    "worlds/w1/vocabulary.json": layout.vocabulary_key("w1"),
    "worlds/w1/evaluations/own.parquet": layout.evaluation_key("w1", "own"),
    "worlds/w1/card.json": layout.world_card_key("w1"),
    "worlds/w1/card.md": layout.world_card_text_key("w1"),
    "worlds/w1/streams/train-3/shards/000000000000-000000000100.json": layout.shards_prefix("w1", "train", 3)
    + layout.shard_file(0, 100, "json"),
    "worlds/w1/streams/train-3/tokens-500/card.json": layout.card_key(
        layout.dataset_folder("w1", "train", 3, "tokens-500")
    ),
    "experiments/capacity/e1/experiment.yaml": layout.experiment_file_key("experiments/capacity/e1"),
    "experiments/capacity/e1/plan.json": layout.plan_key("experiments/capacity/e1"),
    "experiments/capacity/e1/shards/d1.json": layout.training_manifest_key("experiments/capacity/e1", "d1"),
    "experiments/capacity/e1/jobs/d1.json": layout.evaluation_manifest_key("experiments/capacity/e1", "d1"),
    "experiments/capacity/e1/observations.parquet": layout.observations_key("experiments/capacity/e1"),
    "experiments/capacity/e1/sweep.json": layout.sweep_key("experiments/capacity/e1"),
    "experiments/capacity/e1/laws/decay.json": layout.law_key("experiments/capacity/e1", "decay"),
    "experiments/capacity/e1/laws/decay-conventions.json": layout.conventions_key("experiments/capacity/e1", "decay"),
    "experiments/capacity/e1/laws/decay-groups.json": layout.groups_key("experiments/capacity/e1", "decay"),
    "experiments/capacity/e1/figures/curve.svg": layout.figure_key("experiments/capacity/e1", "curve.svg"),
    "experiments/capacity/e1/report.html": layout.report_key("experiments/capacity/e1"),
    "experiments/capacity/e1/mine.csv": layout.result_key(layout.experiment_folder("capacity", "e1"), "mine.csv"),
    "laws/decay/i1.json": layout.evidence_key("decay", "i1"),
    "preregistrations/capacity/e1/registration.json": layout.registration_key("capacity", "e1"),
    "preregistrations/capacity/e1/decay-score.json": layout.score_key("capacity", "e1", "decay"),
}
TOP = {key.partition("/")[0] for key in KEYS}


@pytest.mark.parametrize("stored", KEYS)
def test_what_is_stored_stays_where_it_is(stored: str) -> None:
    assert KEYS[stored] == stored
    assert is_key(stored)
    folder = stored.partition("/")[0] + "/"
    assert f"    {folder}" in str(layout.__doc__), f"the tree in the docstring of layout.py lacks {folder}"


def test_prefixes_find_what_is_below_them() -> None:
    assert layout.run_key("r1").startswith(layout.run_prefix("r1"))
    assert layout.state_key("r1", 42).startswith(layout.checkpoints_prefix("r1"))
    assert layout.sharded_clock_key("r1", 42).startswith(layout.sharded_prefix("r1", 42))
    assert layout.batch_key("loss-v1", "d1").startswith(layout.batches_prefix("loss-v1"))
    assert layout.evidence_key("decay", "i1").startswith(layout.evidence_prefix())
    dataset = layout.dataset_folder("w1", "train", 3, "tokens-500")
    assert layout.shards_of_dataset(dataset) == layout.shards_prefix("w1", "train", 3)


def test_kinds_of_keys_are_told_apart() -> None:
    state, clock = layout.state_key("r1", 42), layout.sharded_clock_key("r1", 42)
    model, part = layout.model_key("r1", 42), layout.sharded_key("r1", 42, "part.safetensors")
    for is_one, those in (
        (layout.is_state, {state}),
        (layout.is_sharded, {clock, part}),
        (layout.is_sharded_clock, {clock}),
    ):
        assert {key for key in (state, clock, model, part) if is_one(key)} == those
    index = layout.batch_index_key("loss-v1", "d1", "r1")
    assert layout.batch_of_index(index) == layout.batch_key("loss-v1", "d1")
    assert layout.batch_of_index(layout.batch_key("loss-v1", "d1")) is None


def built_keys(tree: ast.AST) -> Iterator[ast.expr]:
    """Strings that are put together to a key: they begin with a folder of the store, or go on behind another key."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) or not node.values:
            continue
        first, *rest = node.values
        if isinstance(first, ast.Constant) and str(first.value).partition("/")[0] in TOP and "/" in str(first.value):
            yield node
        named = ast.unparse(first.value) if isinstance(first, ast.FormattedValue) else ""
        follows = str(rest[0].value) if rest and isinstance(rest[0], ast.Constant) else ""
        is_key_or_file = named.endswith(("key", "world_id")) or "." in follows
        if (
            follows.startswith("/")
            and named.endswith((".key", "_key", "prefix", "folder", "world_id"))
            and is_key_or_file
        ):
            yield node


@pytest.mark.slow
def test_no_other_file_builds_keys() -> None:
    root = Path(physlm.__path__[0])
    for path in sorted(root.rglob("*.py")):
        if path == root / "store/layout.py":
            continue
        for node in built_keys(ast.parse(path.read_text())):
            pytest.fail(
                f"{path.relative_to(root)}:{node.lineno} builds a key of the store: {ast.unparse(node)}; make it by a "
                "function in store/layout.py"
            )


@pytest.mark.parametrize(
    "line", ["f'runs/{run_id}/run.json'", "f'{experiment.key}/report.html'", "f'{prefix}/card.json'"]
)
def test_a_key_that_is_built_is_found(line: str) -> None:
    assert list(built_keys(ast.parse(line)))
