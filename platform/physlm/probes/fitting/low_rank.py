"""Softmax regressions on a few directions that all targets share: x · A · B with A of rank r."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from physlm.probes.fitting.lbfgs import minimise
from physlm.probes.fitting.whitening import whitening

_ITERATIONS = 120


def hits(x: Tensor, labels: Tensor, classes: list[int], test: Tensor, rank: int, seed: int) -> Tensor:
    """Train on the readings that aren't for testing, and tell which of all readings are right.

    x       [M, S, n, d]; labels int64 [M, V, K, n], -1 where there is nothing to read; test bool [M, n]
    seed    of the initial directions
    Returns bool [M, S, V, K, n]: each variant V has its own directions for all its targets.
    """
    parts = [_model(*arguments, classes, rank, seed) for arguments in zip(x, labels, test, strict=True)]
    return torch.stack(parts)


def _model(x: Tensor, labels: Tensor, test: Tensor, classes: list[int], rank: int, seed: int) -> Tensor:
    """One model: x [S, n, d], labels [V, K, n], test [n] -> bool [S, V, K, n]."""
    places, n, width = x.shape
    variants = len(labels)
    train = (labels >= 0) & ~test
    features = whitening(x, train.any(0).any(0).expand(places, -1))(x)
    weight = train / train.sum(2, keepdim=True).clamp(min=1)
    index = labels.clamp(min=0)
    columns = sum(classes)
    stops = list(accumulate(classes))
    ridge = 0.5 / train.sum(2).clamp(min=1).float().mean()

    def logits(parameters: Tensor) -> Tensor:
        """[S, V, P] -> [S, V, ΣC, n]."""
        down, up, bias = torch.split(parameters, [width * rank, rank * columns, columns], 2)
        narrow = down.reshape(places, variants * rank, width) @ features.transpose(1, 2)
        up = up.reshape(places * variants, columns, rank)
        mixed = torch.baddbmm(bias.reshape(-1, columns, 1), up, narrow.reshape(places * variants, rank, n))
        return mixed.view(places, variants, columns, n)

    def objective(parameters: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = parameters.detach().requires_grad_()
            scores = logits(leaf)
            loss = ridge * (leaf[..., :-columns] ** 2).sum(-1)
            for k, (stop, size) in enumerate(zip(stops, classes, strict=True)):
                own = scores[:, :, stop - size : stop]
                at_label = own.gather(2, index[:, k].unsqueeze(1).expand(places, -1, -1, -1)).squeeze(2)
                loss = loss + ((own.logsumexp(2) - at_label) * weight[:, k]).sum(-1)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    generator = torch.Generator().manual_seed(seed)
    size = width * rank + rank * columns + columns
    draw = torch.randn(size, generator=generator) * width**-0.5
    draw[width * rank :] = 0.0
    start = draw.to(x.device).expand(places, variants, -1)
    scores = logits(minimise(objective, start, iterations=_ITERATIONS))
    best = [scores[:, :, stop - size : stop].argmax(2) for stop, size in zip(stops, classes, strict=True)]
    return torch.stack(best, 2) == labels
