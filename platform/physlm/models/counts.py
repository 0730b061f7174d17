"""Counts that parts are summed up from: parameters, FLOPs, and what training and generation keep; torch-free.

FLOPs are those of matrix products, convolutions and recurrences, 2 for a multiply-add; a recurrence counts as it is
defined, token by token, and not as it is computed in chunks.
"""

from __future__ import annotations

from typing import NamedTuple

from physlm.models.block import BlockConfig

KERNEL_SIZE = 4
"""Tokens that a Canon layer or a short convolution sees."""


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
    """x·W, plus b where there is a bias (`parts.linear.Linear`)."""
    return Counts(inputs * outputs + bias * outputs, 2 * inputs * outputs, outputs)


def convolution(channels: int) -> Counts:
    """A causal depthwise convolution (`parts.convolution.Convolution`)."""
    return Counts(KERNEL_SIZE * channels, 2 * KERNEL_SIZE * channels, channels, (KERNEL_SIZE - 1) * channels)


def canon(config: BlockConfig, letter: str, channels: int) -> Counts:
    """The Canon layer at one of the places A, B, C, D, if the config asks for it (`parts.canon.canon_of`)."""
    return convolution(channels) if letter in config.canon else Counts()


def norm(config: BlockConfig) -> Counts:
    """One norm over the width (`parts.norm.norm_of`)."""
    return Counts(config.width * (2 if config.norm == "layer" and config.bias else 1), 0, 2 * config.width)
