"""How parameters are drawn before training; torch-free to import."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt
from typing import TYPE_CHECKING

from physlm.models.block import BlockConfig

if TYPE_CHECKING:
    from torch import Generator, Size, Tensor

Draw = Callable[["Size", "Generator"], "Tensor"]
"""Makes the initial values of one member's parameter from its shape and the member's own generator."""

_STEPS = (1e-3, 0.1)
_DECAY_RATES = (1.0, 16.0)


def initial_std(width: int) -> float:
    """Standard deviation of embeddings and weights: GPT-2's 0.02 at width 768, and the same spread of sums elsewhere.

    A fixed 0.02 leaves a model of width 16 so flat that it stores half as much in 300 exposures.
    """
    return 0.02 * sqrt(768 / width)


def residual_std(config: BlockConfig) -> float:
    """Standard deviation of the maps that add to the residual stream, twice in each of its blocks."""
    return initial_std(config.width) / float((2 * config.layers) ** 0.5)


def normal(std: float) -> Draw:
    """Gaussian around 0."""

    def draw(shape: Size, generator: Generator) -> Tensor:
        import torch

        return torch.randn(shape, generator=generator) * std

    return draw


def uniform(low: float, high: float) -> Draw:
    """Uniform from `low` to `high`."""

    def draw(shape: Size, generator: Generator) -> Tensor:
        import torch

        return torch.rand(shape, generator=generator) * (high - low) + low

    return draw


def step_bias(shape: Size, generator: Generator) -> Tensor:
    """Biases for which softplus gives step sizes log-uniform from 0.001 to 0.1 (Gu and Dao 2023, Mamba)."""
    import torch

    step = uniform(log(_STEPS[0]), log(_STEPS[1]))(shape, generator).exp()
    return step + torch.log(-torch.expm1(-step))


def log_decay_rate(shape: Size, generator: Generator) -> Tensor:
    """Logarithms of decay rates uniform from 1 to 16 (Dao and Gu 2024, Mamba2)."""
    return uniform(*_DECAY_RATES)(shape, generator).log()
