"""Bytes that training takes, as planning and ranks estimate them; torch-free."""

from __future__ import annotations

from physlm.models.model import ModelConfig

_FLOAT_BYTES = 4
_STATE_COPIES = 6  # parameters, gradients, two moments, and what the optimiser makes on its way


def state_bytes(parameters: int) -> int:
    """Bytes of a model's parameters, gradients and moments, with what the optimiser's step needs beside them."""
    return _FLOAT_BYTES * _STATE_COPIES * parameters


def activation_bytes(model: ModelConfig, vocabulary: int, context: int, windows: int) -> int:
    """Bytes kept between the forward and the backward pass of so many windows of `context` tokens; roughly."""
    kept = model.activations_per_token(vocabulary, context) + 2 * vocabulary  # the logits again in the backward pass
    return _FLOAT_BYTES * windows * context * kept


def training_bytes(model: ModelConfig, vocabulary: int, context: int, batch_size: int) -> int:
    """Bytes that training one model takes, all windows of a batch in one pass; roughly."""
    return state_bytes(model.parameters(vocabulary)) + activation_bytes(model, vocabulary, context, batch_size)
