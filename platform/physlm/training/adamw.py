"""AdamW (Loshchilov and Hutter 2019) with knobs of its own for each member of a cohort."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from physlm.training.config import OptimizerConfig


def decays(name: str) -> bool:
    """Whether weight decay applies to a parameter: it spares gains and biases."""
    return not name.endswith(("gain", "bias"))


def update(
    optimizers: Sequence[OptimizerConfig],
    lr_factors: Sequence[float],
    updates: Sequence[float],
    decayed: int,
    state: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """One step in place, by torch's fused kernel: one pass over memory instead of ten.

    lr_factors: learning rates over their peaks. updates: steps taken, this one included. state: values, gradient
    (clipped) and the two moments, [M, P] each, of which weight decay applies to the first `decayed` columns.
    """
    members: dict[tuple[OptimizerConfig, float], list[int]] = defaultdict(list)
    for row, knobs in enumerate(zip(optimizers, lr_factors, strict=True)):
        members[knobs].append(row)
    device = state[0].device
    for (optimizer, lr_factor), rows in members.items():
        for columns, decay in ((slice(0, decayed), optimizer.weight_decay), (slice(decayed, None), 0.0)):
            if not state[0][0, columns].numel():
                continue
            values, gradient, first, second = ([tensor[row, columns] for row in rows] for tensor in state)
            adamw(
                values,
                gradient,
                first,
                second,
                [],
                [torch.tensor(updates[row] - 1, dtype=torch.float32, device=device) for row in rows],
                fused=device.type in ("cpu", "cuda"),
                amsgrad=False,
                beta1=optimizer.beta1,
                beta2=optimizer.beta2,
                lr=optimizer.lr * lr_factor,
                weight_decay=decay,
                eps=optimizer.epsilon,
                maximize=False,
            )
