"""Stored data sets: of every task, the same from any number of writers, resumed, read back in any batches, checked."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm import experiment, runs
from physlm.datasets import DataSet, open_dataset, read_evaluation, write_dataset, write_world
from physlm.datasets import evaluations as sets
from physlm.datasets.shards import cut
from physlm.errors import CorruptObject, MissingObject, StoreError, UserError
from physlm.steps.generate import Generate
from physlm.store import open_store
from physlm.store.local import LocalStore
from physlm.tasks import Asks, HasEntropy, Instances, Stream, TaskConfig, registry, supports

CFG = registry["cfg"].config_type.model_validate({"sizes": (1, 3, 3, 3)})
TRAIN = Stream("train", 3)
every_task = pytest.mark.parametrize("name", list(registry))


def tiny(name: str) -> TaskConfig:
    cls = registry[name]
    return cls.config_type.model_validate(cls.presets["tiny"])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def content(store: LocalStore) -> dict[str, str]:
    """SHA-256 of everything in a store, by key."""
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.list()}


def times(store: LocalStore) -> dict[str, int]:
    return {key: (store.root / key).stat().st_mtime_ns for key in store.list()}


def whole(data: DataSet, size: int = 7, first: int = 0, labels: bool = False) -> list[Instances]:
    return list(data.batches(size, first=first, labels=labels))


def assert_same(batches: list[Instances], expected: Instances, labels: bool) -> None:
    np.testing.assert_array_equal(np.concatenate([b.tokens for b in batches]), expected.tokens)
    np.testing.assert_array_equal(np.concatenate([b.loss for b in batches]), expected.loss)
    np.testing.assert_array_equal(np.concatenate([b.lengths for b in batches]), expected.lengths)
    for batch in batches:
        assert (batch.tokens.dtype, batch.offsets.dtype, batch.loss.dtype) == (np.int32, np.int64, np.bool_)
        assert set(batch.labels) == (set(expected.labels) if labels else set())
    if labels:
        for name, row in expected.labels.items():
            np.testing.assert_array_equal(np.concatenate([b.labels[name] for b in batches]), row)


# -- every task --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@every_task
def test_what_is_read_is_what_the_task_samples(name: str, store: LocalStore) -> None:
    task = registry[name](tiny(name))
    data = write_dataset(store, task.config, TRAIN, instances=500, labels=True, shard_tokens=1500)
    expected = task.sample(TRAIN, np.arange(500))
    assert len(data.shards) > 1
    assert (data.instances, data.tokens) == (500, len(expected.tokens))
    assert data.card["trained"] == expected.loss.sum()
    assert data.task.config == task.config
    assert_same(whole(data, labels=True), expected, labels=True)
    assert [task.parse(text).tolist() for text in data.texts(first=498)] == [
        expected[498].tolist(),
        expected[499].tolist(),
    ]
    data.check()


@pytest.mark.slow
@every_task
def test_evaluation_sets_hold_questions_answers_and_truths(name: str, store: LocalStore) -> None:
    task = registry[name](tiny(name))
    card = write_world(store, task.config)
    if not supports(task, Asks):
        assert card["evaluations"] == {}
        return
    assert list(card["evaluations"]) == ["test", *task.evaluations]
    for evaluation, overrides in {"test": {}, **task.evaluations}.items():
        table = read_evaluation(store, card["world_id"], evaluation)
        language = sets.variant(task, overrides)
        again = language.sample(Stream("test", 0), np.arange(sets.SIZE))
        assert table["index"].to_list() == list(range(sets.SIZE))
        for row in table.rows(named=True)[::53]:
            i = row["index"]
            prompt, answer = np.array(row["prompt"], np.int32), np.array(row["answer"], np.int32)
            np.testing.assert_array_equal(prompt, language.prompt(again, i))
            assert language.verify(again.truth[i], answer).correct
            assert json.loads(row["truth"]) == sets.plain(again.truth[i])
            np.testing.assert_array_equal(task.parse(row["prompt_text"]), prompt)
            np.testing.assert_array_equal(task.parse(row["answer_text"]), answer)


@pytest.mark.slow
@every_task
def test_cards_say_what_the_data_are(name: str, store: LocalStore) -> None:
    config = tiny(name)
    task = registry[name](config)
    data = write_dataset(store, config, TRAIN, instances=50)
    world = store.get_json(f"worlds/{runs.world_id(config)}/card.json")
    for card in (world, data.card):
        assert card["task"] == config.model_dump(mode="json")
        assert card["licence"] == "Apache-2.0"
        assert card["chance"] == (task.chance if supports(task, Asks) else None)
        assert card["entropy_floor_nats"] == (task.floor() if supports(task, HasEntropy) else None)
        assert [axis["knob"] for axis in card["axes"]] == [axis.knob for axis in task.axes]
        assert card["reproduce"].startswith(f"physlm tasks write {name} ")
        assert card["description"]
    for file in [data.card["shards"][0]["data"]]:
        stored = store.get(f"{data.key.rpartition('/')[0]}/shards/{file['name']}")
        assert (hashlib.sha256(stored).hexdigest(), len(stored)) == (file["sha256"], file["bytes"])
    for evaluation, entry in world["evaluations"].items():
        stored = store.get(f"worlds/{world['world_id']}/evaluations/{evaluation}.parquet")
        assert (hashlib.sha256(stored).hexdigest(), len(stored)) == (entry["sha256"], entry["bytes"])
    for prefix, card in ((f"worlds/{world['world_id']}", world), (data.key, data.card)):
        text = store.get(f"{prefix}/card.md").decode()
        assert card["reproduce"] in text
        assert card["description"] in text
        assert all(f"`{axis['knob']}`" in text for axis in card["axes"])


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A set in tokens and one in instances of the same stream, written by one process."""
    store = LocalStore(tmp_path_factory.mktemp("alone"))
    write_both(store, workers=(1, 1))
    return store


def write_both(store: LocalStore, workers: tuple[int, int]) -> list[DataSet]:
    amounts: list[dict[str, int]] = [{"tokens": 60_000}, {"instances": 5_000}]
    return [
        write_dataset(store, CFG, TRAIN, labels=True, workers=count, shard_tokens=4000, **amount)
        for amount, count in zip(amounts, workers, strict=True)
    ]


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(alone: LocalStore, store: LocalStore) -> None:
    write_both(store, workers=(2, 3))
    assert content(store) == content(alone)


def test_what_is_lost_is_written_again_and_nothing_else(alone: LocalStore, store: LocalStore) -> None:
    tokens, instances = write_both(store, workers=(1, 1))
    shards = [key for key in store.list() if "/shards/" in key and key.endswith(".json")]
    lost = [shards[1], shards[-2], f"{tokens.key}/card.json", f"{instances.key}/card.json"]
    for key in lost:
        store.delete(key)
    before = times(store)
    write_both(store, workers=(1, 1))
    assert content(store) == content(alone)
    written = {key for key, time in times(store).items() if before.get(key) != time}
    ranges = {key.removesuffix(".json") for key in lost if "/shards/" in key}
    # a set in tokens ends with a cut shard, whose end only sampling tells
    ranges.add(f"{tokens.key.rpartition('/')[0]}/shards/{tokens.shards[-1].data.name.removesuffix('.safetensors')}")
    assert {key.split(".")[0] for key in written if "/shards/" in key} == ranges


PROGRAM = """
import signal
import sys
from physlm import datasets, runs
from physlm.store import open_store
from physlm.tasks import Stream

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
    config = runs.task_config({"type": "cfg", "sizes": [1, 3, 3, 3]})
    store, workers = open_store(sys.argv[1]), int(sys.argv[2])
    datasets.write_dataset(store, config, Stream("train", 3), tokens=1_000_000, workers=workers, shard_tokens=4000)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGKILL, 2)])
def test_a_stopped_writer_is_gone_on_from(number: signal.Signals, workers: int, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(store.root), str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while len(shard_markers(store)) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        if number == signal.SIGINT:  # Ctrl-C goes to the workers, too
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate()  # until the last worker, an orphan perhaps, has closed its end
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert errors.splitlines()[-1] == "physlm.errors.Interrupted: stopped; every whole shard is stored"
        assert errors.count("Traceback") == 1, errors
    kept = {key: time for key, time in times(store).items() if key.endswith(".json")}
    assert len(kept) >= 3
    assert not any(key.endswith("tokens-1000000/card.json") for key in kept)
    data = write_dataset(store, CFG, TRAIN, tokens=1_000_000, shard_tokens=4000)
    assert {key: times(store)[key] for key in kept} == kept
    assert_same(whole(data, 1000), registry["cfg"](CFG).sample(TRAIN, np.arange(data.instances)), labels=False)


def shard_markers(store: LocalStore) -> list[str]:
    return [key for key in store.list("worlds/") if "/shards/" in key and key.endswith(".json")]


def test_a_second_call_writes_nothing(alone: LocalStore) -> None:
    before = times(alone)
    heard: list[tuple[int, int]] = []
    write_dataset(alone, CFG, TRAIN, tokens=60_000, labels=True, on_progress=lambda *event: heard.append(event))
    assert times(alone) == before
    assert heard == [(60_000, 60_000)]


def test_a_larger_set_shares_the_shards_of_a_smaller_one(store: LocalStore) -> None:
    small = write_dataset(store, CFG, TRAIN, instances=900, shard_tokens=4000)
    before = times(store)
    large = write_dataset(store, CFG, TRAIN, instances=2000, shard_tokens=4000)
    shared = [shard.data.name for shard in small.shards if shard in large.shards]
    assert len(shared) == len(small.shards) - 1  # all but the last, which the end of the smaller one cut
    assert all(times(store)[key] == time for key, time in before.items())
    small.check()
    large.check()


def test_a_set_in_tokens_ends_with_the_instance_that_reaches_them(store: LocalStore) -> None:
    lengths = registry["cfg"](CFG).sample(TRAIN, np.arange(3000)).lengths.cumsum()
    for amount in (1, int(lengths[0]), int(lengths[0]) + 1, int(lengths[700]), 30_000):
        data = write_dataset(store, CFG, TRAIN, tokens=amount, shard_tokens=4000)
        assert data.instances == 1 + int(np.searchsorted(lengths, amount))
        assert data.tokens == lengths[data.instances - 1] >= amount
        data.check()


def test_labels_may_be_added_later_and_change_no_token(store: LocalStore) -> None:
    plain = write_dataset(store, CFG, TRAIN, instances=300, shard_tokens=4000)
    assert not plain.labelled
    with pytest.raises(UserError, match="was written without labels"):
        whole(plain, labels=True)
    labelled = write_dataset(store, CFG, TRAIN, instances=300, labels=True, shard_tokens=4000)
    assert [shard.data for shard in labelled.shards] == [shard.data for shard in plain.shards]
    assert labelled.labelled
    again = write_dataset(store, CFG, TRAIN, instances=300, shard_tokens=4000)
    assert again.labelled


def test_streams_of_a_world_lie_apart(store: LocalStore) -> None:
    streams = [Stream(split, seed) for split in ("train", "test") for seed in (0, 1)]
    written = [write_dataset(store, CFG, stream, instances=20) for stream in streams]
    assert len({data.key for data in written}) == len({data.shards[0].data.sha256 for data in written}) == 4


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ({}, "give one of them"),
        ({"instances": 3, "tokens": 3}, "give one of them"),
        ({"instances": 0}, "at least 1 of instances"),
        ({"tokens": -5}, "at least 1 of tokens"),
        ({"tokens": 5, "workers": 0}, "and of workers, got 5 and 0"),
    ],
)
def test_impossible_amounts_are_refused(amount: dict[str, int], message: str, store: LocalStore) -> None:
    with pytest.raises(UserError, match=message):
        write_dataset(store, CFG, TRAIN, **amount)
    assert list(store.list()) == []


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 200))
def test_a_cut_takes_whole_instances_until_the_room_is_reached(lengths: list[int], room: int) -> None:
    offsets = np.cumsum([0, *lengths])
    count = cut(Instances(np.zeros(offsets[-1], np.int32), offsets, np.zeros(offsets[-1], np.bool_)), room)
    assert count == len(lengths) or offsets[count] >= room
    assert count == 0 or offsets[count - 1] < room


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40)
@given(size=st.integers(1, 6000), first=st.integers(0, 5200))
def test_batches_may_be_of_any_size_and_begin_anywhere(size: int, first: int, alone: LocalStore) -> None:
    (key,) = [key for key in alone.list() if key.endswith("instances-5000/card.json")]
    data = open_dataset(alone, key.removesuffix("/card.json"))
    batches = whole(data, size, first, labels=True)
    if first >= 5000:
        assert batches == []
        return
    assert {len(batch) for batch in batches[:-1]} <= {size}
    assert 1 <= len(batches[-1]) <= size
    assert_same(batches, registry["cfg"](CFG).sample(TRAIN, np.arange(first, 5000)), labels=True)


def test_corrupt_and_foreign_shards_are_found(store: LocalStore) -> None:
    data = write_dataset(store, CFG, TRAIN, instances=300, labels=True, shard_tokens=4000)
    folder = f"{data.key.rpartition('/')[0]}/shards"
    names = [data.shards[1].data.name, data.shards[1].labels.name if data.shards[1].labels else ""]
    for name in names:
        path = store.root / folder / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(CorruptObject, match=name):
            data.check()
        path.write_bytes(good)
    data.check()
    store.put(f"{folder}/{names[0]}", store.get(f"{folder}/{data.shards[0].data.name}"))
    with pytest.raises(CorruptObject, match=r"is not the file that the data set's card lists"):
        data.check()
    store.delete(f"{folder}/{names[0]}")
    with pytest.raises(MissingObject, match=names[0]):
        data.check()


def test_a_set_that_was_never_completed_is_not_opened(store: LocalStore) -> None:
    data = write_dataset(store, CFG, TRAIN, instances=10)
    store.delete(f"{data.key}/card.json")
    with pytest.raises(MissingObject, match=r"instances-10/card\.json"):
        open_dataset(store, data.key)


@pytest.mark.parametrize(("size", "first"), [(0, 0), (-1, 0), (1, -1)])
def test_impossible_batches_are_refused(size: int, first: int, alone: LocalStore) -> None:
    (key,) = [key for key in alone.list() if key.endswith("instances-5000/card.json")]
    with pytest.raises(UserError, match="at least 1 instance and begins at 0"):
        whole(open_dataset(alone, key.removesuffix("/card.json")), size, first)


# -- worlds ------------------------------------------------------------------------------------------------------------

STUDY = """
apiVersion: physlm/v1
kind: Experiment
name: lengths
question: Does the step write worlds?
task: {type: mano, operations: 3, modulus: 5}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {tokens: 1000}
vary:
  task.modulus: [5, 7]
  model.width: [8, 16]
measure: [loss]
"""


def test_the_step_generate_writes_each_world_once(store: LocalStore) -> None:
    study = experiment.parse(STUDY)
    Generate().run(store, study)
    first = content(store)
    worlds = {run.world_id for run in study.runs}
    assert len(worlds) == 2
    assert set(first) == {
        f"worlds/{world}/{name}"
        for world in worlds
        for name in ("card.json", "card.md", "vocabulary.json", "evaluations/test.parquet", "evaluations/full.parquet")
    }
    before = times(store)
    Generate().run(store, study)
    assert times(store) == before


def test_facts_are_stored_with_their_checksum_and_changed_ones_refused(store: LocalStore) -> None:
    config = tiny("biod")
    key = f"worlds/{runs.world_id(config)}/card.json"
    card = write_world(store, config)
    assert store.exists(key.replace("card.json", "facts.safetensors"))
    store.put_json(key, {**card, "sha256": "0" * 64})
    with pytest.raises(StoreError, match="the stored facts differ"):
        write_world(store, config)


def test_a_world_without_its_evaluation_sets_gets_them(store: LocalStore) -> None:
    """As an older version wrote it, or a task that has since got one more."""
    config = tiny("mano")
    card = write_world(store, config)
    whole = content(store)
    key = f"worlds/{card['world_id']}"
    older = {**card, "evaluations": {"test": card["evaluations"]["test"]}}
    store.put_json(f"{key}/card.json", older)
    store.delete(f"{key}/evaluations/full.parquet")
    before = times(store)
    assert write_world(store, config) == card
    assert content(store) == whole
    assert times(store)[f"{key}/evaluations/test.parquet"] == before[f"{key}/evaluations/test.parquet"]
    store.put_json(f"{key}/card.json", {name: value for name, value in card.items() if name != "evaluations"})
    assert write_world(store, config) == card


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (np.arange(3, dtype=np.int32), [0, 1, 2]),
        ((1, (np.int64(2), None)), [1, [2, None]]),
        ({"a": {3, 1}, 2: 0.5}, {"a": [1, 3], "2": 0.5}),
        (TRAIN, {"split": "train", "seed": 3}),
        ("text", "text"),
    ],
)
def test_truths_become_json(truth: Any, expected: Any) -> None:
    assert sets.plain(truth) == expected
    json.dumps(expected)


def test_a_truth_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON has no function"):
        sets.plain(test_truths_become_json)


def test_a_task_without_questions_has_no_evaluation_sets(store: LocalStore) -> None:
    silent = [name for name, cls in registry.items() if not issubclass(cls, Asks)]
    for name in silent:
        card = write_world(store, tiny(name))
        with pytest.raises(MissingObject):
            read_evaluation(store, card["world_id"])


def test_a_condition_that_is_the_languages_own_is_not_stored_twice(store: LocalStore) -> None:
    cls = registry["mano"]
    config = cls.config_type.model_validate({**cls.presets["tiny"], "exact": True})
    assert list(write_world(store, config)["evaluations"]) == ["test"]


def test_parquet_is_for_any_tool(store: LocalStore) -> None:
    card = write_world(store, tiny("mqar"))
    table = pl.read_parquet(store.root / f"worlds/{card['world_id']}/evaluations/test.parquet")
    assert dict(table.schema) == {
        "index": pl.Int64,
        "prompt": pl.List(pl.Int32),
        "answer": pl.List(pl.Int32),
        "prompt_text": pl.String,
        "answer_text": pl.String,
        "truth": pl.String,
    }
    assert open_store(store.url).exists(f"worlds/{card['world_id']}/card.md")
    words = json.loads((store.root / f"worlds/{card['world_id']}/vocabulary.json").read_text())
    assert words == list(registry["mqar"](tiny("mqar")).vocabulary)
    assert " ".join(words[token] for token in table["prompt"][3]) == table["prompt_text"][3]
