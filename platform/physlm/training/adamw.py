"""AdamW (Loshchilov and Hutter 2019) with knobs of its own for each member of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from physlm.training.config import OptimizerConfig


@dataclass(frozen=True)
class Knobs:
    """What doesn't change over training, [M, 1] each."""

    beta1: Tensor
    beta2: Tensor
    epsilon: Tensor
    weight_decay: Tensor

    @classmethod
    def of(cls, optimizers: Sequence[OptimizerConfig], device: torch.device) -> Knobs:
        """The knobs of the members' optimisers."""
        names = ("beta1", "beta2", "epsilon", "weight_decay")
        return cls(*(torch.tensor([[getattr(o, name)] for o in optimizers], device=device) for name in names))


def decays(name: str) -> bool:
    """Whether weight decay applies to a parameter: it spares gains and biases."""
    return not name.endswith(("gain", "bias"))


def rates(
    optimizers: Sequence[OptimizerConfig], updates: Sequence[float], shares: Sequence[float], device: torch.device
) -> Tensor:
    """Learning rate and the scales that correct the moments' bias, [3, M, 1].

    updates: steps taken, this one included. shares: of the peak learning rate.
    """
    lr = [o.lr * share for o, share in zip(optimizers, shares, strict=True)]
    # Bias corrections in double precision on the host: 1 - beta^t loses digits in single precision.
    first = [r / (1 - o.beta1**t) for o, r, t in zip(optimizers, lr, updates, strict=True)]
    second = [(1 - o.beta2**t) ** -0.5 for o, t in zip(optimizers, updates, strict=True)]
    return torch.tensor([lr, first, second], device=device).unsqueeze(2)


def update(
    values: Tensor, gradient: Tensor, first: Tensor, second: Tensor, knobs: Knobs, decay: Tensor, rates: Tensor
) -> None:
    """One step in place. values, gradient (clipped), first, second [M, P]; decay [M, P] or [M, 1]."""
    rate, scale1, scale2 = rates
    first.lerp_(gradient, 1 - knobs.beta1)
    second.mul_(knobs.beta2).addcmul_(gradient * (1 - knobs.beta2), gradient)
    values.mul_(1 - rate * decay)
    values.sub_(scale1 * first / (second.sqrt().mul_(scale2).add_(knobs.epsilon)))
