"""The decoder beyond its contract (tests/contracts/test_model.py): exact causality, rotary positions, short windows."""

from __future__ import annotations

import pytest
import torch

from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config

CONFIGS = [
    Gpt2Config(layers=1, heads=1, width=8),
    Gpt2Config(layers=2, heads=2, width=16),
    Gpt2Config(layers=3, heads=4, width=24),
]
VOCABULARY = 13


def decoder_of(config: Gpt2Config, seeds: list[int]) -> Decoder:
    decoder = Decoder(config, VOCABULARY, len(seeds))
    initialise(decoder, seeds)
    return decoder


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_no_position_sees_the_future(config: Gpt2Config) -> None:
    torch.manual_seed(0)
    decoder = decoder_of(config, [0, 1])
    tokens = torch.randint(0, VOCABULARY, (2, 3, 12))
    changed = tokens.clone()
    changed[:, :, 7:] = (changed[:, :, 7:] + 1) % VOCABULARY
    with torch.no_grad():
        before = decoder(tokens).view(2, 3, 12, -1)
        after = decoder(changed).view(2, 3, 12, -1)
    assert torch.equal(before[:, :, :7], after[:, :, :7])
    assert not torch.allclose(before[:, :, 7:], after[:, :, 7:])


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_only_distances_matter_to_rotary_positions(config: Gpt2Config) -> None:
    rotary = decoder_of(config, [0]).blocks[0].attention.rotary
    q, k = torch.randn(2, 1, 1, rotary.head)
    near = (rotary(q, 3) * rotary(k, 1)).sum()
    far = (rotary(q, 90) * rotary(k, 88)).sum()
    torch.testing.assert_close(near, far, atol=1e-4, rtol=1e-4)


def test_short_windows_attend_as_long_ones_do() -> None:
    from torch.nn.functional import scaled_dot_product_attention

    from physlm.models.parts.softmax import attend

    torch.manual_seed(0)
    q, k, v = torch.randn(3, 5, 2, 12, 8, requires_grad=True)
    ours, theirs = attend(q, k, v), scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(ours)
    for a, b in zip(*(torch.autograd.grad((y * weight).sum(), (q, k, v)) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)
