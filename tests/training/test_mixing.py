"""Streams mixed into the training data: by their shares, each whole and in its order, wherever the feed starts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from physlm import experiment, runs
from physlm.errors import Interrupted
from physlm.runs import Run
from physlm.steps.generate import Generate
from physlm.store import layout, open_store
from physlm.tasks.task import Stream
from physlm.training.checkpoints import load_model
from physlm.training.loop import Options, train
from physlm.training.mixing import feed

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: junk
question: What does junk cost?
task: {type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training:
  exposures: 5
  batch_size: 8
  context_length: 40
  mix: {junk: {task: {people: 200, seed: 7}, share: 0.5}, other: {task: {seed: 8}, share: 0.2}}
vary: {training.mix_by: [window, instance]}
measure: [loss]
"""
CPU = torch.device("cpu")
RUNS = {run.training.mix_by: run for run in experiment.parse(TEXT).runs}
Counts = dict[str, int]


def batches(run: Run, stop: int | None, count: int, restart: bool = False) -> tuple[list[np.ndarray], int, Counts]:
    """Batches of 8 windows, and the instances taken; from one feed, or from a new one for each batch."""
    found, instances, mixed = [], 0, dict.fromkeys(run.mixed, 0)
    source = feed(run, 0, 0, {}, stop)
    for i in range(count):
        if restart:
            source = feed(run, 8 * i, instances, mixed, stop)
        windows = source.next(8)
        found.append(windows.tokens)
        instances += windows.instances
        for name, taken in windows.mixed.items():
            mixed[name] += taken
    return found, instances, mixed


def instances_of(window: np.ndarray) -> list[np.ndarray]:
    """A window's instances, each of which begins with the separator; filling is separators alone."""
    return [part for part in np.split(window, np.flatnonzero(window == 0)) if len(part) > 1]


@pytest.mark.parametrize("by", ["window", "instance"])
def test_stopping_and_going_on_changes_nothing(by: str) -> None:
    whole, parts = (batches(RUNS[by], 300, 60, restart) for restart in (False, True))
    assert all((a == b).all() for a, b in zip(whole[0], parts[0], strict=True))
    assert whole[1:] == parts[1:]
    assert whole[1] == 300  # the budget counts the task's own instances, and ends exactly


@pytest.mark.parametrize("by", ["window", "instance"])
def test_shares_are_as_told(by: str) -> None:
    _, own, mixed = batches(RUNS[by], None, 200)
    total = own + sum(mixed.values())
    assert total > 3000
    found = [own / total, mixed["junk"] / total, mixed["other"] / total]
    assert found == pytest.approx([0.3, 0.5, 0.2], abs=4 * 0.5 / 40)  # 1,600 windows are drawn


@pytest.mark.parametrize("by", ["window", "instance"])
def test_each_stream_is_whole_and_in_its_order(by: str) -> None:
    """Every instance can be told from those of the other streams by its place in its own."""
    run = RUNS[by]
    tokens, own, mixed = batches(run, None, 20)
    shown = [i for window in np.concatenate(tokens) for i in instances_of(window)]
    streams = {None: run.task, **run.mixed}
    counts = {None: own, **mixed}
    expected = {}
    for name, config in streams.items():
        sample = runs.language(config).sample(Stream("train", run.seed), np.arange(counts[name]))
        expected[name] = [sample[i].tobytes() for i in range(counts[name])]
    rest = {name: list(items) for name, items in expected.items()}
    for instance in shown:
        owner = [name for name, items in rest.items() if items and items[0] == instance.tobytes()]
        assert owner, "not the next instance of any stream"
        rest[owner[0]].pop(0)
    assert not any(rest.values())


def test_a_window_holds_one_stream_or_several() -> None:
    def streams_in(by: str) -> list[set[str]]:
        run = RUNS[by]
        tokens, own, mixed = batches(run, None, 5)
        names = {}
        for name, config in {"own": run.task, **run.mixed}.items():
            sample = runs.language(config).sample(Stream("train", run.seed), np.arange(own + sum(mixed.values())))
            names |= {sample[i].tobytes(): name for i in range(len(sample))}
        return [{names[i.tobytes()] for i in instances_of(window)} for window in np.concatenate(tokens)]

    assert all(len(found) == 1 for found in streams_in("window"))
    assert sum(len(found) > 1 for found in streams_in("instance")) > 20


@pytest.mark.parametrize("by", ["window", "instance"])
def test_a_stopped_run_goes_on_exactly(by: str, tmp_path: Path) -> None:
    run = RUNS[by]
    calm, rough = open_store(tmp_path / "calm"), open_store(tmp_path / "rough")
    train(calm, [run], Options(CPU))
    while not rough.exists(layout.completed_key(run.run_id)):
        left = iter(range(7))
        with suppress(Interrupted):
            train(rough, [run], Options(CPU, stop=lambda left=left: next(left, None) is None))
    marker = calm.get_json(layout.completed_key(run.run_id))
    assert marker["instances"] == 300
    models = [load_model(store, run.run_id, marker["tokens"]) for store in (calm, rough)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_the_worlds_of_all_streams_are_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    Generate().run(store, experiment.parse(TEXT))
    people = sorted(store.get_json(key)["task"]["people"] for key in store.list("worlds/") if key.endswith("card.json"))
    assert people == [60, 60, 200]


def test_shares_and_tasks_of_streams_may_be_varied() -> None:
    text = TEXT.replace("{training.mix_by: [window, instance]}", "{training.mix.junk.share: [0.1, 0.5]}")
    study = experiment.parse(text)
    assert [study.values(run) for run in study.runs] == [{"training.mix.junk.share": share} for share in (0.1, 0.5)]
    assert study.runs[0].description()["training.mix.junk.task.people"] == 200
    assert len({run.run_id for run in study.runs}) == 2
