"""Encoders: tokens are hidden from them by counter, they learn to tell them, and are measured by that alone."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from physlm import catalog, experiment, probes, steps
from physlm.errors import ExperimentError, Interrupted
from physlm.evaluation import running
from physlm.measures import find
from physlm.runs import Run
from physlm.store import Store, layout, open_store
from physlm.training.checkpoints import load_model
from physlm.training.config import CURVE_SOURCE
from physlm.training.loop import Options, train
from physlm.training.masking import mask
from physlm.training.mixing import feed
from physlm.training.packing import Windows

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: encoder
question: Does an encoder tell the tokens that are hidden from it?
task: {type: copying, length: 8, symbols: 8}
model: {type: bert, layers: 1, heads: 2, width: 16}
training: {tokens: 150000, batch_size: 16, mask_share: 0.4, optimizer: {lr: 1e-2, weight_decay: 0}}
seeds: [0, 1]
measure: [loss, token_accuracy]
probe: [linear]
"""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs() -> tuple[Run, ...]:
    return experiment.parse(TEXT).runs


@pytest.fixture(scope="module")
def trained(runs: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("trained"))
    train(store, runs, Options(CPU))
    return store


def windows_of(rows: int, context: int) -> Windows:
    tokens = np.arange(rows * context, dtype=np.int32).reshape(rows, context) % 50
    loss = tokens % 2 == 0
    return Windows(tokens, loss, np.zeros((rows, context), np.int64), rows)


def test_of_the_tokens_trained_on_a_share_is_drawn_and_most_of_it_hidden() -> None:
    windows = windows_of(400, 100)
    masked = mask(windows, 0.3, 7, 0, 50)
    assert masked.seen is not None
    drawn = masked.loss
    assert not (drawn & ~windows.loss).any()
    assert (masked.seen == windows.tokens)[~drawn].all()
    share = drawn.sum() / windows.loss.sum()
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / windows.loss.sum()) ** 0.5)
    hidden, same = masked.seen[drawn] == 50, masked.seen[drawn] == windows.tokens[drawn]
    error = 4 * (0.8 * 0.2 / drawn.sum()) ** 0.5
    assert hidden.mean() == pytest.approx(0.8, abs=error)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 50, abs=error)
    others = masked.seen[drawn][~hidden & ~same]
    assert set(others) == set(range(50))


def test_what_is_hidden_depends_on_the_window_and_not_on_the_batch() -> None:
    whole = mask(windows_of(10, 100), 0.3, 7, 0, 50)
    part = mask(windows_of(4, 100), 0.3, 7, 6, 50)
    assert whole.seen is not None
    assert part.seen is not None
    assert (part.loss == (whole.loss & (windows_of(10, 100).loss))[6:]).all()
    other = mask(windows_of(10, 100), 0.3, 7, 10, 50)
    assert (other.loss != whole.loss).any()  # the next exposure of a window hides others


def test_a_feed_that_starts_anywhere_hides_the_same(runs: tuple[Run, ...]) -> None:
    through = feed(runs[0], 0, 0, {}, None)
    taken = through.next(8).instances
    after, anew = through.next(8), feed(runs[0], 8, taken, {}, None).next(8)
    assert after.seen is not None
    assert anew.seen is not None
    assert (after.seen == anew.seen).all()
    assert (after.loss == anew.loss).all()
    assert (feed(runs[1], 8, taken, {}, None).next(8).loss != anew.loss).any()


@pytest.mark.slow
def test_an_encoder_learns_to_tell_hidden_tokens(trained: Store, runs: tuple[Run, ...]) -> None:
    for name in ("loss", "token_accuracy"):
        running.measure(trained, find(name), runs)
    for run in runs:
        loss, accuracy = (
            catalog.collect(trained, [run.run_id], [find(name).source()]).row(0, named=True)
            for name in ("loss", "token_accuracy")
        )
        assert loss["chance"] == pytest.approx(log(10))
        assert loss["floor"] is None
        assert loss["value"] < 0.1 * log(8)
        assert accuracy["value"] > 0.95
        curve = catalog.collect(trained, [run.run_id], [CURVE_SOURCE]).sort("tokens")["value"].to_list()
        assert curve[0] > log(8) - 0.2
        assert curve[-1] == pytest.approx(loss["value"], abs=0.1)  # both of tokens hidden in the same way


@pytest.mark.slow
def test_a_member_alone_and_stopped_on_its_way_ends_the_same(
    trained: Store, runs: tuple[Run, ...], tmp_path: Path
) -> None:
    store, run = open_store(tmp_path), runs[1]
    steps_left = 200

    def stop() -> bool:
        nonlocal steps_left
        steps_left -= 1
        return steps_left == 0

    with pytest.raises(Interrupted):
        train(store, [run], Options(CPU, stop=stop))
    train(store, [run], Options(CPU))
    tokens = trained.get_json(layout.completed_key(run.run_id))["tokens"]
    alone, together = load_model(store, run.run_id, tokens), load_model(trained, run.run_id, tokens)
    for name, value in alone.items():
        torch.testing.assert_close(value, together[name], rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_probes_read_an_encoder(trained: Store, runs: tuple[Run, ...]) -> None:
    probe = probes.make("linear", {})
    running.probe(trained, probe, runs[:1])
    found = catalog.collect(trained, [runs[0].run_id], [probe.source])
    token = found.filter(
        pl.col("measure") == "probe.linear.token", pl.col("layer").is_null(), pl.col("position").is_null()
    )
    assert token.height > 0


def test_what_goes_on_from_a_prompt_is_refused() -> None:
    for name in ("accuracy", "accuracy@int8"):
        study = experiment.parse(TEXT.replace("[loss, token_accuracy]", f"[loss, '{name}']"))
        with pytest.raises(ExperimentError, match=r"measure: accuracy.* can't be taken: bert sees later tokens"):
            steps.check(study)
    steps.check(experiment.parse(TEXT))


def test_a_share_to_hide_is_for_encoders() -> None:
    with pytest.raises(ExperimentError, match=r"training.mask_share: 0.4 means nothing with gpt2"):
        experiment.parse(TEXT.replace("type: bert", "type: gpt2"))
