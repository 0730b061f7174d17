"""Losses of trained models on windows packed as in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from physlm.measures.contract import Member
from physlm.tasks.contract import Instances, Split, Stream
from physlm.training.packing import Windows, pack

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

_TOKENS_AT_ONCE = 1 << 18  # of all members together: bounds the memory of the logits


@dataclass(frozen=True)
class Scored:
    """What a model makes of every token of some instances.

    nll    float64 [total]: negative log-likelihood in nats; NaN for a window's first token, which nothing predicts
    right  bool [total]: the token was the most likely one
    """

    instances: Instances
    nll: NDArray[np.float64]
    right: NDArray[np.bool_]


def score(decoder: Decoder, members: Sequence[Member], count: int, *, split: Split = "test") -> list[Scored]:
    """Score the first `count` instances of each member's own stream, `test` unless told otherwise.

    A member's result doesn't depend on the others.
    """
    samples = [m.task.sample(Stream(split, m.seed), np.arange(count, dtype=np.int64)) for m in members]
    packed = [pack(sample, m.context_length, m.task.separator)[0] for m, sample in zip(members, samples, strict=True)]
    nll = [np.full(len(sample.tokens), np.nan) for sample in samples]
    right = [np.zeros(len(sample.tokens), np.bool_) for sample in samples]
    for start, stop in _row_ranges(packed):
        tokens = np.stack(
            [_rows(w.tokens, start, stop, m.task.separator) for w, m in zip(packed, members, strict=True)]
        )
        losses, hits = _losses(decoder, tokens)
        for i, windows in enumerate(packed):
            source = _rows(windows.source, start, stop, -1)[:, 1:]
            real = source >= 0
            nll[i][source[real]] = losses[i][real]
            right[i][source[real]] = hits[i][real]
    return [Scored(*columns) for columns in zip(samples, nll, right, strict=True)]


def _row_ranges(packed: Sequence[Windows]) -> Iterator[tuple[int, int]]:
    rows = max(len(w.tokens) for w in packed)
    at_once = max(1, _TOKENS_AT_ONCE // (len(packed) * packed[0].tokens.shape[1]))
    for start in range(0, rows, at_once):
        yield start, min(start + at_once, rows)


def _rows(array: NDArray[np.generic], start: int, stop: int, filling: int) -> NDArray[np.int64]:
    part = array[start:stop].astype(np.int64)
    return np.pad(part, ((0, stop - start - len(part)), (0, 0)), constant_values=filling)


def _losses(decoder: Decoder, tokens: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """tokens [M, B, T] -> losses and hits of the predicted tokens, [M, B, T - 1]."""
    import torch

    from physlm.training.loss import token_losses

    batch = torch.from_numpy(tokens).to(decoder.embedding.device)
    targets = batch[:, :, 1:].flatten(1)
    with torch.no_grad():
        logits = decoder.logits(decoder(batch[:, :, :-1])).float()
        losses = token_losses(logits, targets)
    shape = (*tokens.shape[:2], tokens.shape[2] - 1)
    hits = logits.argmax(-1) == targets
    return losses.double().cpu().numpy().reshape(shape), hits.cpu().numpy().reshape(shape)
