"""Activation patching finds the way of a fact through a model that is built to have one."""

from __future__ import annotations

import pytest
import torch

from physlm.catalog import Observation
from physlm.measures.contract import Member
from physlm.measures.patching import Patching
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks.copying import Copying, CopyingConfig

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
    (rows,) = Patching().take(decoder, [Member(TASK, 0, TASK.max_length, 1)])
    return rows


@pytest.mark.parametrize("copying", [0, 1])
def test_the_fact_is_at_the_carrier_until_it_is_copied_and_at_the_last_position_then(copying: int) -> None:
    rows = take(copier(copying=copying))
    recovery = {(o.layer, o.position): o.value for o in rows if o.measure == "patching.recovery"}
    assert {layer for layer, _ in recovery} == {0, 1, 2}
    for (layer, position), value in recovery.items():
        where = CARRIER if layer is not None and layer <= copying else LAST
        assert value == pytest.approx(1.0 if position == where else 0.0, abs=1e-4), (layer, position)
    whole = {o.measure: o for o in rows if o.layer is None}
    assert whole["patching.effect"].value > 10 * (whole["patching.effect"].stderr or 1)
    assert whole["patching.carrier"].value == pytest.approx(1 if copying else 0, abs=1e-4)
    assert whole["patching.last"].value == pytest.approx(0 if copying else 1, abs=1e-4)
    assert whole["patching.other"].value == pytest.approx(0, abs=1e-4)


def test_a_model_that_has_learnt_nothing_makes_little_of_the_fact() -> None:
    rows = take(copier())
    trained, before = (o for o in rows if o.measure.startswith("patching.effect"))
    assert before.measure == "patching.effect.untrained"
    assert abs(before.value or 0) < 0.3 * (trained.value or 0)


def test_members_of_different_lengths_are_patched_as_if_alone() -> None:
    other = Copying(CopyingConfig(length=4, symbols=8))
    members = [Member(TASK, 0, 20, 1), Member(other, 1, 20, 1)]
    config = Gpt2Config(layers=1, heads=1, width=16)
    both, alone = Decoder(config, 10, 2), Decoder(config, 10, 1)
    initialise(both, [0, 1])
    initialise(alone, [1])
    together = Patching().take(both.requires_grad_(False), members)[1]
    (single,) = Patching().take(alone.requires_grad_(False), members[1:])
    assert [(o.measure, o.layer, o.position) for o in together] == [(o.measure, o.layer, o.position) for o in single]
    for a, b in zip(together, single, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-3)
