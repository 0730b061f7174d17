"""Attention statistics: what is built into a model's attention is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physlm import experiment, steps
from physlm.catalog import Observation
from physlm.errors import ExperimentError
from physlm.measures.attention import Attention, adjacent, flow, levels
from physlm.measures.measure import Member
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks.cfg import Cfg, CfgConfig

GRAMMAR = Cfg(CfgConfig(sizes=(1, 2, 2, 3), degree=(2, 2), length=(2, 3)))


def built(task: Cfg, distance: int | None = None) -> Decoder:
    """Head 0 looks so far back, or uniformly; head 1 is left as it is drawn."""
    config = Gpt2Config(layers=1, heads=2, width=16, positions="relative", distances=64)
    made = Decoder(config, len(task.vocabulary), 1)
    initialise(made, [0])
    with torch.no_grad():
        weight = made.blocks[0].attention.relative.weight
        weight.zero_()
        made.blocks[0].attention.qkv.weight.zero_()
        if distance is not None:
            weight[:, 0, distance] = 30.0
    return made.eval().requires_grad_(False)


def take(decoder: Decoder, task: Cfg) -> list[Observation]:
    (rows,) = Attention().evaluate(decoder, [Member(task, 0, task.max_length, 1)])
    return rows


def test_a_head_that_looks_three_tokens_back_is_found() -> None:
    rows = take(built(GRAMMAR, 3), GRAMMAR)
    weights = {o.position: o.value for o in rows if o.measure == "attention.distance" and o.target == "head_0"}
    assert weights[3] == pytest.approx(1, abs=1e-6)
    assert all(abs(value or 0) < 0.2 for distance, value in weights.items() if distance != 3)  # the first three tokens
    share = {
        o.position: o.value
        for o in rows
        if o.measure == "attention.position_share" and o.layer == 1 and o.target == "head"
    }
    assert share[0] > 0.75
    for o in rows:
        if o.measure in ("attention.boundary", "attention.flow"):
            assert o.value == pytest.approx(0, abs=1e-6), o  # nothing is left when positions have told all


def test_a_head_that_looks_from_boundary_to_boundary_is_found() -> None:
    """A token that ends every symbol of the last level draws all attention, the nearest of them most."""
    rules = (((0, 1), (1, 0)),), (((0, 1),), ((1, 1), (1, 0, 1)))
    task = Cfg(CfgConfig(rules=(rules[0], (((0, 2),), ((1, 2), (1, 1, 2))))))
    assert levels(task)[-1] == "boundary_2"
    made = built(task)
    ender = 3  # terminal 2, which ends every symbol of level 2, and is nowhere else
    with torch.no_grad():
        attention = made.blocks[0].attention
        made.embedding.zero_()
        made.embedding[0, :, 0], made.embedding[0, :, 1] = 1.0, -1.0
        made.embedding[0, ender, 0], made.embedding[0, ender, 1] = -1.0, 1.0
        attention.qkv.weight[0, 1, 16] = 4.0  # key of head 0: high on the ender
        attention.qkv.bias[0, 0] = 8.0  # query of head 0: the same for all
        attention.relative.weight[0, 0] = -1.0 * torch.arange(64)  # the nearest of them
        attention.relative.weight[0, 0, 0] = -100.0
    rows = take(made, task)
    (found,) = (o for o in rows if o.measure == "attention.boundary" and o.layer == 1 and o.position == 2)
    (before,) = (o for o in rows if o.measure == "attention.boundary.untrained" and o.layer == 1 and o.position == 2)
    assert found.value > 0.15  # the mean of two heads, less what positions alone would have
    assert found.value > 10 * (found.stderr or 1)
    assert abs(before.value or 0) < 0.05
    (whole,) = (o for o in rows if o.measure == "attention.flow" and o.layer is None)
    assert whole.value > 5 * (whole.stderr or 1)


def test_links_are_those_of_the_parse() -> None:
    """Two symbols: one with parts of 3 tokens each, one with a single part of 2."""
    fine = np.array([[0, 0, 1, 0, 0, 1, 0, 1]], np.bool_)
    coarse = np.array([[0, 0, 0, 0, 0, 1, 0, 1]], np.bool_)
    assert set(zip(*np.nonzero(adjacent(fine)[0]), strict=True)) == {(5, 2), (7, 5)}
    assert set(zip(*np.nonzero(flow([coarse, fine])[0]), strict=True)) == {(5, 2), (7, 5)}
    assert set(zip(*np.nonzero(flow([fine])[0]), strict=True)) == {(5, 2), (7, 5), (7, 2)}


def test_other_mixers_are_refused_in_a_sentence() -> None:
    file = """
apiVersion: physlm/v1
kind: Experiment
name: x
question: Where does it look?
task: {type: cfg}
model: {type: gla, layers: 1, heads: 1, width: 16}
training: {tokens: 10000}
measure: [attention]
"""
    with pytest.raises(ExperimentError, match="attention can't be taken: gla has no softmax attention"):
        steps.check(experiment.parse(file, steps.known_names()))
