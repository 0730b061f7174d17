"""The decoder: exact counts, causality, and members that don't feel each other."""

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
def test_the_parameter_count_equals_the_formula(config: Gpt2Config) -> None:
    decoder = decoder_of(config, [0])
    assert sum(p.numel() for p in decoder.parameters()) == config.parameters(VOCABULARY)


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_matrix_products_are_the_flops_of_the_formula(config: Gpt2Config) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    context = 10
    decoder = decoder_of(config, [0])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        decoder.logits(decoder(torch.zeros(1, 1, context, dtype=torch.int64)))
    # The counter counts all scores, the formula the causal ones: (context + 1) / 2 of context for each token.
    uncounted = config.layers * 2 * config.width * (2 * context - (context + 1)) * context
    assert counter.get_total_flops() == config.flops_per_token(VOCABULARY, context) * context + uncounted


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


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_members_start_depends_on_its_seed_alone(config: Gpt2Config) -> None:
    together, alone = decoder_of(config, [4, 7, 9]), decoder_of(config, [7])
    for (name, many), (_, one) in zip(together.named_parameters(), alone.named_parameters(), strict=True):
        assert torch.equal(many[1], one[0]), name
        if not name.endswith(("bias", "gain")):
            assert not torch.equal(many[0], many[1]), name


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradients_are_finite_and_reach_every_parameter(config: Gpt2Config) -> None:
    torch.manual_seed(0)
    decoder = decoder_of(config, [0, 1])
    tokens = torch.randint(0, VOCABULARY, (2, 4, 12))
    decoder.logits(decoder(tokens)).square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not name.endswith("qkv.bias"):  # a bias of all keys alike moves no attention
            assert (parameter.grad != 0).any(), name


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
