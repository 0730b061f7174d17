"""Rounded weights: the nearest levels, the bits they take, and measures of the models that have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from physlm import measures
from physlm.measures.measure import Member
from physlm.measures.quantised import QUANTISATIONS, Quantisation, round_weights, rounded
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks.biod import Biod, BiodConfig

TASK = Biod(BiodConfig(people=60, attributes=2, diversity=8, vocabulary=8))
MODEL = Gpt2Config(layers=2, heads=2, width=40)


def decoder() -> Decoder:
    model = Decoder(MODEL, len(TASK.vocabulary), 2)
    initialise(model, [0, 1])
    return model.eval()


@pytest.mark.slow
@given(st.integers(2, 8), st.integers(1, 70), st.sampled_from([None, 1, 7, 32]), st.integers(0, 2**31))
def test_each_weight_goes_to_the_nearest_level_of_its_channel(
    bits: int, inputs: int, group: int | None, seed: int
) -> None:
    weights = torch.randn(2, 3, inputs, generator=torch.Generator().manual_seed(seed))
    found, scales = round_weights(weights, Quantisation("any", bits, group))
    size = min(group or inputs, inputs)
    assert scales == 2 * 3 * -(-inputs // size)
    for start in range(0, inputs, size):
        old, new = weights[..., start : start + size], found[..., start : start + size]
        step = old.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((old - new).abs() <= step / 2 * 1.0001).all()
        assert all(len(row.unique()) <= 2**bits - 1 for row in new.flatten(0, 1))
    again, _ = round_weights(found, Quantisation("any", bits, group))
    torch.testing.assert_close(again, found)


def test_zeros_stay_zeros() -> None:
    found, _ = round_weights(torch.zeros(1, 2, 5), QUANTISATIONS["int4"])
    assert torch.equal(found, torch.zeros(1, 2, 5))


def test_bits_are_counted_with_the_scales_and_weights_come_back() -> None:
    model = decoder()
    before = {name: p.clone() for name, p in model.named_parameters()}
    with rounded(model, QUANTISATIONS["int8"]) as bits:
        changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert all(name.endswith(("weight", "embedding")) for name in changed)
    assert len(changed) == 1 + 2 * 4
    d, vocabulary = MODEL.width, len(TASK.vocabulary)
    matrices = vocabulary * d + 2 * 12 * d * d
    channels = vocabulary + 2 * (3 * d + d + 4 * d + d)
    total = MODEL.parameters(vocabulary)
    assert bits == pytest.approx((8 * matrices + 16 * channels + 16 * (total - matrices)) / total)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_fewer_bits_change_a_measure_more() -> None:
    model = decoder()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    members = [Member(TASK, seed, TASK.max_length, 1000) for seed in (0, 1)]
    (plain, _) = measures.find("loss")().evaluate(model, members)
    losses = {}
    for name in ("int8", "int4", "int4g32"):
        cls = measures.find(f"loss@{name}")
        assert cls.source() == f"loss@{name}-v{measures.find('loss').version}"
        (found, _) = cls().evaluate(model, members)
        assert [o.measure for o in found] == [f"loss_{name}", f"weight_bits_{name}"]
        losses[name] = found[0].value
    error = {name: abs(value - plain[0].value) for name, value in losses.items()}  # type: ignore[operator]
    assert 0 < error["int8"] < 0.1 * error["int4"]
    assert np.isfinite(list(error.values())).all()


def test_every_measure_has_its_variants() -> None:
    assert {"knowledge_bits@int8", "knowledge_bits@int4", "loss@int4g32"} <= set(measures.names())
