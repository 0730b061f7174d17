"""States of a frozen decoder at every layer, and updates of what its embedding gives, through hooks alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from physlm.models.decoder import Decoder

_TOKENS_AT_ONCE = 1 << 16  # of all models together: bounds the memory of what a forward pass leaves behind


def states(decoder: Decoder, tokens: Tensor) -> Tensor:
    """tokens int64 [M, B, T] -> [layers + 1, M, B·T, d].

    Layer 0 is the embedding, layer ℓ the output of block ℓ; the last is what the decoder returns, behind its last norm.
    """
    with torch.no_grad():
        return torch.stack(layers(decoder, tokens))


def layers(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """The same, layer by layer, for gradients to flow through."""
    found: list[Tensor] = []

    def before(module: Any, arguments: tuple[Any, ...]) -> None:
        found.append(arguments[0])

    hooks = [block.register_forward_pre_hook(before) for block in decoder.blocks]
    try:
        last = decoder(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return [*found, last]


def all_states(decoder: Decoder, tokens: Tensor) -> Tensor:
    """tokens int64 [M, B, T] -> [layers + 1, M, B, T, d], a few rows at a time."""
    models, _, context = tokens.shape
    at_once = max(1, _TOKENS_AT_ONCE // (models * context))
    parts = [
        states(decoder, part).view(-1, models, part.shape[1], context, decoder.config.width)
        for part in torch.split(tokens, at_once, 1)
    ]
    return torch.cat(parts, 2)


@contextmanager
def updated(decoder: Decoder, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, the first block gets change(x) for the embeddings x [M, n, d]."""

    def before(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return change(arguments[0]), *arguments[1:]

    hook = decoder.blocks[0].register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()


def chosen(decoder: Decoder, rows: Sequence[int]) -> Decoder:
    """A frozen decoder of these members of another, in this order; one named twice becomes two that are alike."""
    made = Decoder(decoder.config, decoder.vocabulary, len(rows)).to(device_of(decoder))
    named = dict(decoder.named_parameters())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(named[name][list(rows)])
    return made.eval().requires_grad_(False)


def device_of(decoder: Decoder) -> torch.device:
    """Where the decoder's parameters are."""
    return next(decoder.parameters()).device
