"""L-BFGS for many problems at once (Nocedal and Wright 2006, algorithm 7.5), each with its own step length.

Every iteration evaluates all problems once: a problem whose step doesn't lower its loss enough stays where it is and
tries a shorter one in the next. So one hard problem costs the others nothing but its share of the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Parameters [..., P] -> losses [...] and gradients [..., P], of independent problems."""

_ARMIJO = 1e-4
_SHORTEN = 0.3


@torch.no_grad()
def minimise(
    objective: Objective, start: Tensor, *, iterations: int = 60, history: int = 8, tolerance: float = 1e-5
) -> Tensor:
    """The parameters [..., P] after at most so many iterations; fewer once no loss falls by more than `tolerance`."""
    x = start
    loss, gradient = objective(x)
    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=history)
    step = torch.ones_like(loss)
    scale = torch.ones_like(loss)  # of the initial inverse Hessian
    idle = 0
    for _ in range(iterations):
        direction = _direction(gradient, pairs, scale)
        slope = (gradient * direction).sum(-1)
        # Rounding may have made it point upwards: go down the gradient then.
        direction = torch.where((slope < 0).unsqueeze(-1), direction, -gradient)
        slope = torch.where(slope < 0, slope, -(gradient**2).sum(-1))
        candidate = x + step.unsqueeze(-1) * direction
        new_loss, new_gradient = objective(candidate)
        better = new_loss <= loss + _ARMIJO * step * slope
        moved = better.unsqueeze(-1)
        s = torch.where(moved, candidate - x, 0.0)
        y = torch.where(moved, new_gradient - gradient, 0.0)
        product = (s * y).sum(-1)
        sound = product > 1e-10 * (y**2).sum(-1).clamp(min=1e-30)
        rho = torch.where(sound, 1 / product, 0.0)  # a pair that tells nothing is passed over
        pairs.append((s, y, rho))
        scale = torch.where(sound, product / (y**2).sum(-1), scale)
        fall = torch.where(better, loss - new_loss, 0.0)
        x = torch.where(moved, candidate, x)
        gradient = torch.where(moved, new_gradient, gradient)
        loss = torch.where(better, new_loss, loss)
        step = torch.where(better, torch.ones_like(step), step * _SHORTEN)
        idle = idle + 1 if bool((fall <= tolerance).all()) else 0
        if idle == 3:  # a step may be too long twice
            break
    return x


def _direction(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, Tensor]], scale: Tensor) -> Tensor:
    q = gradient.clone()
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * (s * q).sum(-1)
        q -= alpha.unsqueeze(-1) * y
        alphas.append(alpha)
    q *= scale.unsqueeze(-1)
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        beta = rho * (y * q).sum(-1)
        q += (alpha - beta).unsqueeze(-1) * s
    return -q
