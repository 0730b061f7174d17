"""Parts against what their papers say of them, and against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from physlm.models import parse
from physlm.models.architecture import DecoderConfig
from physlm.models.mixers.attention import Attention
from physlm.models.mixers.uniform import Uniform
from physlm.models.mlps.experts import Experts
from physlm.models.parts.canon import Canon
from physlm.models.parts.convolution import convolve
from physlm.models.parts.norm import LayerNorm, root_mean_square
from physlm.models.parts.relative import RelativeBias
from physlm.models.parts.softmax import attend


def config(**knobs: object) -> DecoderConfig:
    result = parse({"type": "gpt2", "layers": 1, "heads": 2, "width": 8, **knobs})
    assert isinstance(result, DecoderConfig)
    return result


def filled(part: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.normal_(std=0.5)
    return part


@pytest.mark.parametrize("context", [1, 2, 3, 9])
def test_the_convolution_and_its_gradients_are_torchs(context: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, context, 5, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 4, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(convolve, (x, weight))
    padded = torch.nn.functional.pad(x[1].transpose(1, 2), (3, 0))
    theirs = torch.nn.functional.conv1d(padded, weight[1].flip(0).t().unsqueeze(1), groups=5)
    torch.testing.assert_close(convolve(x, weight)[1], theirs.transpose(1, 2))


def test_a_canon_layer_adds_the_convolution() -> None:
    canon = filled(Canon(2, 5))
    assert isinstance(canon, Canon)
    x = torch.randn(2, 3 * 6, 5)
    added = convolve(x.view(2, 3, 6, 5), canon.weight).view(x.shape)
    torch.testing.assert_close(canon(x, 3), x + added)


def test_the_root_mean_square_and_its_gradient_are_torchs() -> None:
    x = torch.randn(3, 7, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(root_mean_square(x), torch.nn.functional.rms_norm(x, (7,), eps=1e-5))
    assert torch.autograd.gradcheck(root_mean_square, (x,))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [5, 2100])  # all members at once, and one after the other
def test_the_layer_norm_and_its_gradients_are_torchs(tokens: int, bias: bool) -> None:
    norm = filled(LayerNorm(3, 16, bias=bias))
    x = torch.randn(3, tokens, 16).requires_grad_()
    flow = torch.randn(3, tokens, 16)
    inputs = [x, *norm.parameters()]
    shift = norm.bias.unsqueeze(1) if bias else 0.0
    expected = torch.nn.functional.layer_norm(x, (16,)) * norm.gain.unsqueeze(1) + shift
    torch.testing.assert_close(norm(x), expected)
    ours, theirs = (torch.autograd.grad(y, inputs, flow) for y in (norm(x), expected))
    for gradient, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [None, 1, 3, 70])
@pytest.mark.parametrize("tokens", [2, 15, 16, 64, 65, 79])  # every way that attention is computed on a CPU
def test_attention_is_its_definition(tokens: int, window: int | None) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(4, 2, tokens, 8).requires_grad_() for _ in range(3))
    scores = (q @ k.transpose(-1, -2)) / 8**0.5
    back = torch.arange(tokens).unsqueeze(1) - torch.arange(tokens)
    hidden = (back < 0) | (back >= (window or tokens))
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v
    flow = torch.randn(expected.shape)
    found = attend(q, k, v, window=window)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    last = attend(q[:, :, -1:], k, v, window=window)
    torch.testing.assert_close(last, expected[:, :, -1:], rtol=1e-4, atol=1e-5)
    ours, theirs = (torch.autograd.grad(y, (q, k, v), flow) for y in (found, expected))
    for gradient, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("knobs", [{"type": "mistral", "window": 3}, {"type": "gpt2-relative", "window": 5}], ids=str)
def test_shown_weights_are_those_that_attention_gives(knobs: dict[str, object]) -> None:
    part = filled(Attention(config(**knobs, bias=False), 2))
    assert isinstance(part, Attention)
    x = torch.randn(2, 3 * 9, 8)
    weights = part.weights(x, 3)
    assert part.window is not None
    back = torch.arange(9).unsqueeze(1) - torch.arange(9)
    assert (weights[..., (back >= 0) & (back < part.window)] > 0).all()
    assert not weights[..., (back < 0) | (back >= part.window)].any()
    v = part.qkv(x)[..., -part.kv_heads * part.size :].view(2, 3, 9, part.kv_heads, part.size).transpose(2, 3)
    v = v.repeat_interleave(part.heads // part.kv_heads, 2)
    expected = part.out((weights @ v).transpose(2, 3).reshape(2, 27, 8))
    torch.testing.assert_close(part(x, 3), expected, rtol=1e-4, atol=1e-5)


def test_uniform_heads_average_the_last_1_2_4_8_tokens() -> None:
    weights = Uniform(config(type="gpt2-uniform", heads=4), 1).weights(6, 6)[0]
    assert weights[0].equal(torch.eye(6))
    assert weights[1, 4].tolist() == [0, 0, 0, 0.5, 0.5, 0]
    assert weights[3, 2].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 6))


def test_relative_numbers_depend_on_the_distance_alone() -> None:
    ahead_too = RelativeBias(1, 1, 3, bidirectional=True)
    with torch.no_grad():
        ahead_too.weight.copy_(torch.tensor([-2.0, -1, 0, 1, 2]))
    assert ahead_too(5, 5)[0, 0, 2].tolist() == [2, 1, 0, -1, -2]
    assert ahead_too(5, 5)[0, 0, 0].tolist() == [0, -1, -2, -2, -2]
    assert ahead_too(2, 5).equal(ahead_too(5, 5)[:, :, 3:])


# -- mixture of experts ------------------------------------------------------------------------------------------------


def dense(part: Experts, x: Tensor) -> Tensor:
    """Every expert is asked of every token; those not chosen get weight 0."""
    shares = part.router(x).softmax(-1)
    top = shares.topk(part.top_k, -1)
    weights = torch.zeros_like(shares).scatter(-1, top.indices, top.values)
    if part.top_k > 1:
        weights = weights / weights.sum(-1, keepdim=True)
    assert part.up_bias is not None
    assert part.down_bias is not None
    hidden = torch.einsum("mnd,medh->mneh", x, part.up) + part.up_bias.unsqueeze(1)
    answers = torch.einsum("mneh,mehd->mned", torch.nn.functional.gelu(hidden), part.down) + part.down_bias.unsqueeze(1)
    return (answers * weights.unsqueeze(-1)).sum(2)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_experts_answer_as_if_all_were_asked(top_k: int) -> None:
    part = filled(Experts(config(mlp="experts", experts=4, top_k=top_k), 3)).eval()
    assert isinstance(part, Experts)
    x = torch.randn(3, 2 * 10, 8)
    torch.testing.assert_close(part(x, 2), dense(part, x))
    torch.testing.assert_close(part.load.sum(1), torch.ones(3))
    assert part.dropped.tolist() == [0, 0, 0]


def test_in_training_an_expert_drops_the_last_positions_beyond_its_capacity() -> None:
    part = filled(Experts(config(mlp="experts", experts=4, capacity=1.0), 1)).train()
    assert isinstance(part, Experts)
    batch, context = 2, 10
    x = torch.randn(1, batch * context, 8)
    full = dense(part, x).view(batch, context, 8)
    ours = part(x, batch).view(batch, context, 8)
    chosen = part.router(x).argmax(-1).view(batch, context)
    room = batch * context // 4
    seen = [0] * 4
    for t in range(context):
        for b in range(batch):
            expert = int(chosen[b, t])
            expected = full[b, t] if seen[expert] < room else torch.zeros(8)
            torch.testing.assert_close(ours[b, t], expected)
            seen[expert] += 1
    dropped = sum(max(0, count - room) for count in seen)
    assert dropped > 0
    assert float(part.dropped) == pytest.approx(dropped / (batch * context))
    assert part.load[0].tolist() == pytest.approx([count / (batch * context) for count in seen])


def test_the_balance_loss_pulls_as_if_it_were_added_to_the_loss() -> None:
    knobs = {"mlp": "experts", "experts": 4, "capacity": 4.0}
    pulled = filled(Experts(config(**knobs, balance=0.3), 2)).train()
    plain = filled(Experts(config(**knobs, balance=0), 2)).train()
    assert isinstance(plain, Experts)
    x = torch.randn(2, 12, 8)
    pulled(x, 3).square().sum().backward()
    loss = plain(x, 3).square().sum()
    shares = plain.router(x).softmax(-1)
    balance = 0.3 * 4 * (plain.load * shares.mean(1)).sum()
    (loss + balance).backward()
    for (name, a), (_, b) in zip(pulled.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


# -- knobs that don't fit together -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"type": "gla", "positions": "rotary"}, "belongs to attention, not to gla"),
        ({"heads": 3, "width": 9}, "heads of even size"),
        ({"heads": 3, "width": 8, "positions": "none"}, "use a multiple of 3"),
        ({"group_size": 3}, "groups of 3"),
        ({"rotary_share": 0.1}, "less than a pair"),
        ({"positions": "none", "rotary_share": 0.5}, "means nothing with positions 'none'"),
        ({"top_k": 2}, "means nothing with mlp 'gelu'"),
        ({"mlp": "experts", "experts": 2, "top_k": 3}, "more than the 2 experts"),
        ({"mlp": "none", "canon": "AC"}, "no place for Canon C"),
        ({"mlp": "experts", "canon": "D"}, "no place for Canon D"),
        ({"canon": "CA"}, "pattern"),
        ({"state": 4}, "means nothing with mixer 'attention'"),
        ({"distances": 9}, "means nothing with positions 'rotary'"),
        ({"type": "bert", "canon": "A"}, "a Canon layer looks back only"),
        ({"type": "bert", "window": 8}, "a window looks back only"),
        ({"type": "gla", "window": 8}, "window: 8 means nothing with mixer 'gla'"),
        ({"type": "mamba2", "heads": 3, "expand": 1.0}, "can't be split into 3 heads"),
    ],
)
def test_knobs_that_make_no_model_are_refused(knobs: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(**knobs)
