"""States of frozen decoders at every layer, a few rows at a time, and decoders of some members of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from physlm.models.decoder import Decoder
from physlm.models.hidden_states import hidden_states

_MAX_TOKENS = 1 << 16  # of all models together: bounds the memory of what a forward pass leaves behind


def states(decoder: Decoder, tokens: Tensor) -> Tensor:
    """tokens int64 [M, B, T] -> [layers + 1, M, B·T, d], as `hidden_states` gives them, without gradients."""
    with torch.no_grad():
        return torch.stack(hidden_states(decoder, tokens))


def all_states(decoder: Decoder, tokens: Tensor) -> Tensor:
    """tokens int64 [M, B, T] -> [layers + 1, M, B, T, d], a few rows at a time."""
    models, _, context = tokens.shape
    at_once = max(1, _MAX_TOKENS // (models * context))
    parts = [
        states(decoder, part).view(-1, models, part.shape[1], context, decoder.config.width)
        for part in torch.split(tokens, at_once, 1)
    ]
    return torch.cat(parts, 2)


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
