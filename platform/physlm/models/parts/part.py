"""What parts share: the form they are called in, their registries, how their parameters are drawn.

A part maps x [M, batch·T, d] to the same shape. Given a cache, its T tokens follow those that the cache remembers.
Parameters have the member dimension first. Those named `...gain` start at 1 and `...bias` at 0, and neither decays;
what starts otherwise is in the part's `draws`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from physlm.models.parts.cache import Cache

if TYPE_CHECKING:
    from physlm.models.architecture import DecoderConfig

Draw = Callable[[torch.Size, torch.Generator], Tensor]


class Part(nn.Module):
    """Base of mixers and MLPs; made as `Part(config, members)`.

    adapted: of a mixer, the columns of its matrices that give queries and then values, by the matrix' name; a matrix
    has the inputs as rows. Low-rank updates are of these alone.
    """

    adapted: Mapping[str, Sequence[slice]] = MappingProxyType({})

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        """x [M, batch·T, d] -> [M, batch·T, d]."""
        raise NotImplementedError


MIXERS: dict[str, type[Part]] = {}
MLPS: dict[str, type[Part]] = {}
PartT = TypeVar("PartT", bound=type[Part])


def mixer(name: str) -> Callable[[PartT], PartT]:
    """Make a mixer known by its name in `DecoderConfig.mixer`."""

    def add(cls: PartT) -> PartT:
        MIXERS[name] = cls
        return cls

    return add


def mlp(name: str) -> Callable[[PartT], PartT]:
    """Make an MLP known by its name in `DecoderConfig.mlp`."""

    def add(cls: PartT) -> PartT:
        MLPS[name] = cls
        return cls

    return add


def initial_std(width: int) -> float:
    """Standard deviation of embeddings and weights: GPT-2's 0.02 at width 768, and the same spread of sums elsewhere.

    A fixed 0.02 leaves a model of width 16 so flat that it stores half as much in 300 exposures.
    """
    return 0.02 * sqrt(768 / width)


def residual_std(config: DecoderConfig) -> float:
    """Standard deviation of the maps that add to the residual stream, twice in each of its blocks."""
    return initial_std(config.width) / float((2 * config.layers) ** 0.5)


def normal(std: float) -> Draw:
    """Gaussian around 0."""
    return lambda shape, generator: torch.randn(shape, generator=generator) * std


def uniform(low: float, high: float) -> Draw:
    """Uniform from `low` to `high`."""
    return lambda shape, generator: torch.rand(shape, generator=generator) * (high - low) + low


def draws_of(module: nn.Module) -> Mapping[str, Draw]:
    """How a module's own parameters are drawn, by their names."""
    draws: Mapping[str, Draw] = getattr(module, "draws", {})
    return draws
