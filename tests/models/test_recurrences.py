"""Recurrences in chunks against the plain recurrences of their definitions, token by token in double precision."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from physlm.models.mixers.gdn import gated_delta_rule
from physlm.models.mixers.gla import MIN_LOG_DECAY, gated_linear_attention
from physlm.models.mixers.mamba2 import state_space

Result = tuple[Tensor, Tensor]


def plain_gla(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> Result:
    outputs = []
    for t in range(q.shape[1]):
        state = decay[:, t].exp().unsqueeze(-1) * state + k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        outputs.append(torch.einsum("rhk,rhkv->rhv", q[:, t], state))
    return torch.stack(outputs, 1), state


def plain_ssd(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, state: Tensor) -> Result:
    q, k = (x.unsqueeze(2).expand(-1, -1, v.shape[2], -1) for x in (q, k))
    return plain_gla(q, k, v, decay.unsqueeze(-1).expand_as(k), state)


def plain_gdn(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, state: Tensor) -> Result:
    outputs = []
    identity = torch.eye(q.shape[-1], dtype=q.dtype)
    for t in range(q.shape[1]):
        key, rate = k[:, t].unsqueeze(-1), beta[:, t, :, None, None]
        unlearn = identity - rate * key * key.transpose(-1, -2)
        state = decay[:, t].exp()[..., None, None] * (unlearn @ state) + rate * key * v[:, t].unsqueeze(-2)
        outputs.append(torch.einsum("rhk,rhkv->rhv", q[:, t], state))
    return torch.stack(outputs, 1), state


def inputs(mixer: str, context: int, decay: float, seed: int, device: str = "cpu") -> list[Tensor]:
    """Random arguments; log decays from 0 to `decay`."""
    torch.manual_seed(seed)
    rows, heads, keys, values = 3, 2, 5, 4
    per_head = (rows, context, heads)
    q, k = torch.randn(2, *((rows, context) if mixer == "mamba2" else per_head), keys)
    v, state = torch.randn(*per_head, values), torch.randn(rows, heads, keys, values)
    log_decay = decay * torch.rand(*per_head, *([keys] if mixer == "gla" else []))
    arguments = [q, k, v, log_decay, state]
    if mixer == "gdn":
        arguments[1] = torch.nn.functional.normalize(k, dim=-1)
        arguments.insert(4, torch.rand(per_head))
    return [x.to(device) for x in arguments]


FORMS: dict[str, tuple[Callable[..., Result], Callable[..., Result]]] = {
    "gla": (gated_linear_attention, plain_gla),
    "mamba2": (state_space, plain_ssd),
    "gdn": (gated_delta_rule, plain_gdn),
}


@pytest.mark.parametrize("mixer", list(FORMS))
@given(st.integers(1, 100), st.sampled_from([-0.01, -0.5, MIN_LOG_DECAY]), st.integers(0, 99))
@settings(max_examples=25)
def test_chunks_equal_the_plain_recurrence(mixer: str, context: int, decay: float, seed: int) -> None:
    chunked, plain = FORMS[mixer]
    arguments = inputs(mixer, context, decay, seed)
    ours, theirs = chunked(*arguments), plain(*(x.double() for x in arguments))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mixer", list(FORMS))
@pytest.mark.parametrize("decay", [-0.1, MIN_LOG_DECAY])
def test_gradients_of_chunks_equal_the_plain_ones(mixer: str, decay: float) -> None:
    chunked, plain = FORMS[mixer]
    gradients = []
    for form, dtype in ((chunked, torch.float32), (plain, torch.float64)):
        arguments = [x.to(dtype).requires_grad_() for x in inputs(mixer, 50, decay, 1)]
        output, state = form(*arguments)
        (output.sin().sum() + state.cos().sum()).backward()
        gradients.append([x.grad.float() for x in arguments if x.grad is not None])
    assert len(gradients[0]) == len(arguments)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec("fla") is None, reason="needs a GPU and flash-linear-attention"
)
@pytest.mark.parametrize("mixer", list(FORMS))
def test_fused_kernels_equal_the_plain_recurrence(mixer: str) -> None:
    fused, plain = FORMS[mixer]
    arguments = inputs(mixer, 100, -0.5, 0, "cuda")
    arguments[:3] = [x.bfloat16() for x in arguments[:3]]  # queries, keys and values, as in training
    ours, theirs = fused(*arguments), plain(*(x.double().cpu() for x in arguments))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.cpu().double(), b, rtol=2e-2, atol=2e-2 * float(b.abs().max()))
