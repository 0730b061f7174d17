"""Exact counts of every part: parameters, FLOPs, and what training and generation keep; torch-free.

A part has its module in `parts/` and its formulas here, under one name. The contract test compares the two.
FLOPs are those of matrix products, convolutions and recurrences, 2 for a multiply-add; a recurrence counts as it is
defined, token by token, and not as it is computed in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

KERNEL = 4  # tokens that a Canon layer or a short convolution sees
GATE_RANK = 16  # inner dimension of gated linear attention's decay


class Counts(NamedTuple):
    """What one part of one block needs.

    parameters, flops (per token)
    kept    numbers kept for the backward pass, per token; an estimate
    cached  numbers kept of one sequence in generation
    """

    parameters: int = 0
    flops: int = 0
    kept: int = 0
    cached: int = 0

    def __add__(self, other: tuple[int, ...]) -> Counts:  # type: ignore[override]
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def affine(inputs: int, outputs: int, bias: bool) -> Counts:
    """x·W, plus b where there is a bias."""
    return Counts(inputs * outputs + bias * outputs, 2 * inputs * outputs, outputs)


def convolution(channels: int) -> Counts:
    """A causal depthwise convolution."""
    return Counts(KERNEL * channels, 2 * KERNEL * channels, channels, (KERNEL - 1) * channels)


def _canon(c: DecoderConfig, letter: str, channels: int) -> Counts:
    return convolution(channels) if letter in c.canon else Counts()


def _seen(c: DecoderConfig, context: int) -> Fraction:
    """Twice the positions that a position sees on average."""
    if not c.causal:
        return Fraction(2 * context)
    window = min(context, c.window or context)
    return Fraction(window * (2 * context - window + 1), context)


def _attention(c: DecoderConfig, context: int) -> Counts:
    d, head = c.width, c.width // c.heads
    keys = head * c.kv_heads
    inner = d + 2 * keys
    scores = c.heads * context if context <= 64 else 0  # longer windows never hold the whole score matrix
    remembered = context if c.window is None else min(context, c.window - 1)
    attended = Counts(0, round(2 * d * _seen(c, context)), 2 * inner + 2 * scores + d, 2 * keys * remembered)
    told_apart = c.distances if c.causal else 2 * c.distances - 1
    relative = Counts(c.heads * told_apart if c.positions == "relative" else 0)
    return affine(d, inner, c.bias) + _canon(c, "B", inner) + attended + relative + affine(d, d, c.bias)


def _averaged(c: DecoderConfig, context: int) -> Counts:
    d = c.width
    mixed = Counts(0, round(d * _seen(c, context)), 2 * d, d * context)
    return affine(d, d, c.bias) + _canon(c, "B", d) + mixed + affine(d, d, c.bias)


def _positional(c: DecoderConfig, context: int) -> Counts:
    return _averaged(c, context) + Counts(c.heads * c.distances)


def _streams(c: DecoderConfig, channels: int) -> Counts:
    """What stands before a recurrence: Canon B, the short convolution and its activation."""
    short = convolution(channels) + Counts(kept=channels) if c.short_conv else Counts()
    return _canon(c, "B", channels) + short


def _gla(c: DecoderConfig, context: int) -> Counts:
    d, keys, values = c.width, c.heads * c.key_size, c.heads * c.value_size
    gate = affine(d, GATE_RANK, False) + affine(GATE_RANK, keys, True)
    recurrence = Counts(
        0, 4 * keys * c.value_size, 6 * keys + 3 * values + c.heads * min(16, context), keys * c.value_size
    )
    out = Counts(c.value_size, 0, 2 * values) + affine(d, values, False) + affine(values, d, False)
    return affine(d, 2 * keys + values, False) + _streams(c, 2 * keys + values) + gate + recurrence + out


def _mamba2(c: DecoderConfig, context: int) -> Counts:
    d, keys, values = c.width, c.key_size, c.heads * c.value_size
    recurrence = Counts(
        3 * c.heads, 4 * keys * values, 4 * c.heads * keys + 3 * values + 2 * c.heads * min(32, context), keys * values
    )
    out = Counts(values, 0, 2 * values) + affine(d, values, False) + affine(values, d, False)
    streams = values + 2 * keys
    return affine(d, streams, False) + _streams(c, streams) + affine(d, c.heads, False) + recurrence + out


def _gdn(c: DecoderConfig, context: int) -> Counts:
    d, keys, values = c.width, c.heads * c.key_size, c.heads * c.value_size
    gates = affine(d, 2 * c.heads, False) + Counts(2 * c.heads)
    recurrence = Counts(
        0, 6 * keys * c.value_size, 8 * keys + 6 * values + 4 * c.heads * min(32, context), keys * c.value_size
    )
    out = Counts(c.value_size, 0, 2 * values) + affine(d, values, False) + affine(values, d, False)
    return affine(d, 2 * keys + values, False) + _streams(c, 2 * keys + values) + gates + recurrence + out


def _gelu(c: DecoderConfig, context: int) -> Counts:
    return (
        affine(c.width, c.hidden, c.bias)
        + _canon(c, "D", c.hidden)
        + affine(c.hidden, c.width, c.bias)
        + Counts(kept=c.hidden)
    )


def _gated(c: DecoderConfig, context: int) -> Counts:
    inner = 2 * c.hidden
    up = affine(c.width, inner, c.bias) + _canon(c, "D", inner)
    return up + Counts(kept=inner) + affine(c.hidden, c.width, c.bias)


def _experts(c: DecoderConfig, context: int) -> Counts:
    d, h = c.width, c.hidden
    one = affine(d, h, c.bias) + affine(h, d, c.bias)
    active = Counts(0, c.top_k * one.flops, round(c.top_k * max(1.0, c.capacity) * (d + 2 * h + d)))
    return affine(d, c.experts, False) + Counts(c.experts * one.parameters, kept=4 * c.experts) + active


Formula = Callable[["DecoderConfig", int], Counts]
MIXERS: Mapping[str, Formula] = {
    "attention": _attention,
    "uniform": _averaged,
    "positional": _positional,
    "gla": _gla,
    "mamba2": _mamba2,
    "gdn": _gdn,
}
MLPS: Mapping[str, Formula] = {"gelu": _gelu, "gated": _gated, "experts": _experts}


def norm(c: DecoderConfig) -> Counts:
    """One norm over the width."""
    return Counts(c.width * (2 if c.norm == "layer" and c.bias else 1), 0, 2 * c.width)


def block(c: DecoderConfig, context: int) -> Counts:
    """One block: the mixer, then the MLP where there is one, each behind its norm and its Canon layer."""
    counts = norm(c) + _canon(c, "A", c.width) + MIXERS[c.mixer](c, context)
    if c.mlp != "none":
        counts += norm(c) + _canon(c, "C", c.width) + MLPS[c.mlp](c, context)
    return counts
