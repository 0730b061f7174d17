"""Features of mean 0 that are uncorrelated: linear readouts lose nothing by it, and solvers converge in few steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_SHARE = 1e-6  # of the largest variance; directions with less are rounding noise


@dataclass(frozen=True)
class Whitening:
    """z = (x - mean) · matrix, of unit variance in each direction.

    mean    [G, 1, d]
    matrix  [G, d, d]; a column is 0 where the features have no such direction
    ridge   [G, d]: |w|² of weights w on standardised features is the sum of ridge · v² of weights v on z
    """

    mean: Tensor
    matrix: Tensor
    ridge: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[G, n, d] -> [G, n, d]."""
        return torch.bmm(x - self.mean, self.matrix)


def whitening(x: Tensor, present: Tensor) -> Whitening:
    """From features x [G, n, d] where present, bool [G, n]."""
    weight = present.to(x.dtype).unsqueeze(2)
    count = weight.sum(1, keepdim=True).clamp(min=1)
    mean = (x * weight).sum(1, keepdim=True) / count
    centred = (x - mean) * weight
    covariance = (centred.transpose(1, 2) @ centred / count).double()
    scale = covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-24).rsqrt()  # 1 / standard deviation
    correlation = covariance * scale.unsqueeze(1) * scale.unsqueeze(2)
    variance, directions = torch.linalg.eigh(correlation)
    real = variance > _LEAST_SHARE * variance[:, -1:]
    inverse = torch.where(real, variance.clamp(min=1e-24).rsqrt(), 0.0)
    matrix = scale.unsqueeze(2) * directions * inverse.unsqueeze(1)
    return Whitening(mean, matrix.to(x.dtype), (inverse**2).to(x.dtype))
