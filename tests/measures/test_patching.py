"""Activation patching finds the way of a fact through a model that is built to have one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures import patching
from physlm.measures.measure import Member
from physlm.measures.patching import Patching
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks.capabilities import Counterfactuals
from physlm.tasks.copying import FIRST, Copying, CopyingConfig
from physlm.tasks.mqar import Mqar, MqarConfig
from physlm.tasks.task import Stream

TASK = Copying(CopyingConfig(length=6, symbols=8))
CARRIER, LAST = 1 + 3, 1 + 6 + 3  # of six tokens three have been copied


def copier(layers: int = 2, copying: int = 0) -> Decoder:
    """One block writes down what stands as far back as the text is long; the others do nothing."""
    config = Gpt2Config(layers=layers, heads=1, width=16, positions="relative", distances=32, mlp="none", tied=False)
    made = Decoder(config, len(TASK.vocabulary), 1)
    initialise(made, [0])
    with torch.no_grad():
        made.embedding[0] = torch.eye(16)[: len(TASK.vocabulary)]
        made.unembedding[0] = made.embedding[0]
        for number, block in enumerate(made.blocks):
            block.attention.qkv.weight.zero_()
            block.attention.out.weight.zero_()
            block.attention.relative.weight.zero_()
            if number == copying:
                block.attention.relative.weight[0, 0, 6] = 40.0
                block.attention.qkv.weight[0, :, 32:] = torch.eye(16)
                block.attention.out.weight[0] = 3 * torch.eye(16)
    return made.eval().requires_grad_(False)


def take(decoder: Decoder) -> list[Observation]:
    (rows,) = Patching().evaluate(decoder, [Member(TASK, 0, TASK.max_length, 1)])
    return rows


@pytest.mark.parametrize("copying", [0, 1])
def test_the_fact_is_at_the_carrier_until_it_is_copied_and_at_the_last_position_then(copying: int) -> None:
    rows = take(copier(copying=copying))
    recovery = {(o.layer, o.position): o.value for o in rows if o.measure == "patching.recovery"}
    assert {layer for layer, _ in recovery} == {0, 1, 2}
    assert {position for _, position in recovery} == set(range(LAST + 1))
    for (layer, position), value in recovery.items():
        where = CARRIER if layer is not None and layer <= copying else LAST
        assert value == pytest.approx(1.0 if position == where else 0.0, abs=1e-4), (layer, position)
    whole = {o.measure: o for o in rows if o.layer is None}
    assert whole["patching.effect"].value > 10 * (whole["patching.effect"].stderr or 1)
    assert whole["patching.carrier"].value == pytest.approx(1 if copying else 0, abs=1e-4)
    assert whole["patching.last"].value == pytest.approx(0 if copying else 1, abs=1e-4)
    assert whole["patching.other"].value == pytest.approx(0, abs=1e-4)


MARK = FIRST  # a symbol that stands behind the value and nowhere else


class Anywhere(Copying):
    """Texts of any length with the value anywhere, right before a mark: `<s> b e VALUE MARK d b <copy>` asks for it.

    `wide`: the mark counts as part of the carrier.
    """

    wide = False

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        random = np.random.default_rng(0)
        n, most = len(indices), 12
        clean = np.zeros((n, most), np.int32)
        length, at = random.integers(5, most + 1, n), np.zeros(n, np.int64)
        for row, end in zip(clean, length, strict=True):
            row[1 : end - 1] = random.integers(MARK + 1, MARK + 8, end - 2)
            row[end - 1] = 1
        at = random.integers(1, length - 3)
        each = np.arange(n)
        clean[each, at + 1] = MARK
        answer = clean[each, at]
        other = (MARK + 1 + (answer - MARK) % 7).astype(np.int32)
        changed = clean.copy()
        changed[each, at] = other
        carrier = clean != changed
        if self.wide:
            carrier[each, at + 1] = True
        return Counterfactuals(clean, changed, answer, other, length, carrier)


def relay() -> Decoder:
    """The first block writes down at each token the one before it; the second, at `<copy>`, what the mark has so."""
    config = Gpt2Config(layers=2, heads=1, width=32, positions="relative", distances=32, mlp="none", tied=False)
    made = Decoder(config, len(TASK.vocabulary), 1)
    initialise(made, [0])
    with torch.no_grad():
        made.embedding[0] = torch.eye(32)[: len(TASK.vocabulary)]
        made.unembedding[0] = made.embedding[0]
        for block in made.blocks:
            for part in (block.attention.qkv, block.attention.out, block.attention.relative):
                part.weight.zero_()
        first, second = (block.attention for block in made.blocks)
        first.relative.weight[0, 0, 1] = 40.0
        first.qkv.weight[0, :16, 64 + 16 :] = torch.eye(16)
        first.out.weight[0] = torch.eye(32)
        second.qkv.weight[0, 1, 0] = second.qkv.weight[0, MARK, 32] = 20.0  # the query of <copy>, the key of the mark
        second.qkv.weight[0, 16:, 64 : 64 + 16] = torch.eye(16)
        second.out.weight[0] = torch.eye(32)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("wide", [False, True])
def test_a_fact_that_stops_over_is_found_there_wherever_it_stands(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Anywhere, "wide", wide)
    task = Anywhere(TASK.config)
    assert not task.counterfactuals(Stream("test"), np.arange(9)).aligned
    (rows,) = Patching().evaluate(relay(), [Member(task, 0, 20, 1)])
    assert not [o for o in rows if o.measure.startswith("patching.recovery")]
    where = ["carrier", "carrier" if wide else "other", "last"]  # in each layer
    found = {(o.measure, o.layer): o.value for o in rows}
    for role in patching.ROLES:
        for layer, there in enumerate(where):
            assert found[f"patching.{role}", layer] == pytest.approx(float(role == there), abs=1e-3), (role, layer)
        assert found[f"patching.{role}", None] == found[f"patching.{role}", 1]


@pytest.mark.slow
def test_what_is_patched_at_once_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = take(copier())
    monkeypatch.setattr(patching, "_MAX_TOKENS", 150)  # nine pairs
    for one, other in zip(whole, take(copier()), strict=True):
        assert (one.measure, one.layer, one.position) == (other.measure, other.layer, other.position)
        assert one.value == pytest.approx(other.value, abs=1e-5)


def test_a_model_that_has_learnt_nothing_makes_little_of_the_fact() -> None:
    rows = take(copier())
    trained, before = (o for o in rows if o.measure.startswith("patching.effect"))
    assert [o for o in rows if o.measure.endswith(".untrained")] == [before]  # no share of what may be nothing
    assert abs(before.value or 0) < 0.3 * (trained.value or 0)


def test_members_of_different_lengths_are_patched_as_if_alone() -> None:
    other = Copying(CopyingConfig(length=4, symbols=8))
    members = [Member(TASK, 0, 20, 1), Member(other, 1, 20, 1)]
    config = Gpt2Config(layers=1, heads=1, width=16)
    both, alone = Decoder(config, 10, 2), Decoder(config, 10, 1)
    initialise(both, [0, 1])
    initialise(alone, [1])
    for made in (both, alone):
        made.requires_grad_(False)
        made.blocks[0].attention.qkv.weight[:, :, 32:] = made.blocks[0].attention.out.weight[:] = torch.eye(16)
    together = Patching().evaluate(both, members)[1]
    (single,) = Patching().evaluate(alone, members[1:])
    assert {o.position for o in single} == {None, *range(1 + 4 + 1 + 2)}
    assert [(o.measure, o.layer, o.position) for o in together] == [(o.measure, o.layer, o.position) for o in single]
    for a, b in zip(together, single, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-3)


def test_knobs_that_leave_no_pairs_are_refused_before_anything_is_trained() -> None:
    full = Mqar(MqarConfig(pairs=4, length=16, symbols=4))
    assert "leaves none to change one to" in str(Patching.unsupported_reason(full))
    assert Patching.unsupported_reason(TASK) is None
