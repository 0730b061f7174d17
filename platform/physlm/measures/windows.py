"""Losses of trained models on windows packed as in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from physlm.measures.measure import Member
from physlm.randomness import key
from physlm.tasks.task import Instances, Split, Stream
from physlm.training.masking import mask
from physlm.training.packing import Windows, pack

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

_TOKENS_AT_ONCE = 1 << 18  # of all members together: bounds the memory of the logits


@dataclass(frozen=True)
class Scored:
    """What a model makes of every token of some instances.

    nll    float64 [total]: negative log-likelihood in nats; NaN where it isn't predicted: a window's first token, and
           what an encoder may see
    right  bool [total]: the token was the most likely one
    masked whether the model is an encoder, which tells hidden tokens
    """

    instances: Instances
    nll: NDArray[np.float64]
    right: NDArray[np.bool_]
    masked: bool = False


def score(decoder: Decoder, members: Sequence[Member], count: int, *, split: Split = "test") -> list[Scored]:
    """Score the first `count` instances of each member's own stream, `test` unless told otherwise.

    A member's result doesn't depend on the others.
    """
    samples = [m.task.sample(Stream(split, m.seed), np.arange(count, dtype=np.int64)) for m in members]
    packed = [pack(sample, m.context_length, m.task.separator)[0] for m, sample in zip(members, samples, strict=True)]
    if not decoder.config.causal:
        packed = [
            mask(windows, m.mask_share, key("mask", split, m.seed), 0, decoder.vocabulary)
            for m, windows in zip(members, packed, strict=True)
        ]
    nll = [np.full(len(sample.tokens), np.nan) for sample in samples]
    right = [np.zeros(len(sample.tokens), np.bool_) for sample in samples]
    for start, stop in _row_ranges(packed):
        tokens = np.stack(
            [_rows(w.tokens, start, stop, m.task.separator) for w, m in zip(packed, members, strict=True)]
        )
        seen = [
            _rows(w.seen, start, stop, m.task.separator)
            for w, m in zip(packed, members, strict=True)
            if w.seen is not None
        ]
        losses, hits = _losses(decoder, tokens, np.stack(seen) if seen else None)
        for i, windows in enumerate(packed):
            source = _rows(windows.source, start, stop, -1)
            if windows.seen is None:
                source = source[:, 1:]
            else:
                source[~_rows(windows.loss, start, stop, 0).astype(np.bool_)] = -1
            real = source >= 0
            nll[i][source[real]] = losses[i][real]
            right[i][source[real]] = hits[i][real]
    masked = not decoder.config.causal
    return [Scored(*columns, masked) for columns in zip(samples, nll, right, strict=True)]


def _row_ranges(packed: Sequence[Windows]) -> Iterator[tuple[int, int]]:
    rows = max(len(w.tokens) for w in packed)
    at_once = max(1, _TOKENS_AT_ONCE // (len(packed) * packed[0].tokens.shape[1]))
    for start in range(0, rows, at_once):
        yield start, min(start + at_once, rows)


def _rows(array: NDArray[np.generic], start: int, stop: int, filling: int) -> NDArray[np.int64]:
    part = array[start:stop].astype(np.int64)
    return np.pad(part, ((0, stop - start - len(part)), (0, 0)), constant_values=filling)


def _losses(
    decoder: Decoder, tokens: NDArray[np.int64], seen: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """tokens [M, B, T] -> losses and hits of the predicted tokens, [M, B, T - 1].

    seen: what an encoder sees in place of the tokens; all are then told, [M, B, T].
    """
    import torch

    from physlm.training.loss import token_losses

    inputs, predicted = (tokens[:, :, :-1], tokens[:, :, 1:]) if seen is None else (seen, tokens)
    shape = predicted.shape
    targets = torch.from_numpy(predicted.reshape(len(tokens), -1)).to(decoder.embedding.device)
    with torch.no_grad():
        logits = decoder.logits(decoder(torch.from_numpy(inputs).to(targets.device))).float()
        losses = token_losses(logits, targets)
    hits = logits.argmax(-1) == targets
    return losses.double().cpu().numpy().reshape(shape), hits.cpu().numpy().reshape(shape)
