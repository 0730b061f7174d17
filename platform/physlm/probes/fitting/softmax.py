"""Softmax regression on frozen features, all models, layers and targets at once; plain, or of low rank."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from physlm.probes.fitting.lbfgs import minimise
from physlm.probes.fitting.whitening import whitening

_ELEMENTS = 1 << 24  # of the largest tensor in use: problems beyond it are solved one batch after the other


def hits(
    x: Float[Tensor, "models places n width"],
    labels: Int[Tensor, "models targets n"],
    classes: Int[Tensor, " targets"],
    test: Bool[Tensor, "models n"],
) -> Bool[Tensor, "models places targets n"]:
    """Train on the readings that aren't for testing, and tell which of all readings are right.

    x        features at layers or positions
    labels   -1 where there is nothing to read
    classes  how many each target has

    The loss is that of an L2-regularised logistic regression on standardised features,
    mean of -ln p + |w|² / 2n, which scikit-learn has with C = 1 (and, of two classes, with C = 2).
    """
    result = torch.zeros(*x.shape[:2], labels.shape[1], x.shape[2], dtype=torch.bool, device=x.device)
    for count in sorted(set(classes.tolist())):
        which = torch.nonzero(classes == count).squeeze(1)
        for models in _batches(x, int(count) * len(which)):
            result[models, :, which] = _Softmax(x[models], labels[models][:, which], int(count), test[models]).hits()
    return result


def _batches(x: Tensor, columns: int) -> Iterator[slice]:
    models, places, n, width = x.shape
    at_once = max(1, _ELEMENTS // (places * n * max(columns, width)))
    for start in range(0, models, at_once):
        yield slice(start, start + at_once)


class _Softmax:
    """Problems [M, S, K] of one number of classes C; parameters of each: C weight vectors of d + 1 features."""

    def __init__(self, x: Tensor, labels: Tensor, classes: int, test: Tensor) -> None:
        self.shape = (*x.shape[:2], labels.shape[1])
        self.classes = classes
        models, places, n, width = x.shape
        self.truth = labels
        seen = (labels >= 0).any(1) & ~test  # [M, n]
        flat = x.flatten(0, 1)
        white = whitening(flat, seen.repeat_interleave(places, 0))
        self.every = torch.cat([white(flat), torch.ones_like(flat[..., :1])], 2)  # [M·S, n, d + 1]

        # The solver sees what is trained on, and nothing else.
        order = seen.int().argsort(dim=1, descending=True, stable=True)[:, : int(seen.sum(1).max())]
        n = order.shape[1]
        labels = labels.gather(2, order.unsqueeze(1).expand(-1, labels.shape[1], -1))
        train = (labels >= 0) & seen.gather(1, order).unsqueeze(1)  # [M, K, n]
        index = order.repeat_interleave(places, 0).unsqueeze(2).expand(-1, -1, width + 1)
        self.features = self.every.gather(1, index)
        weight = train / train.sum(2, keepdim=True).clamp(min=1)
        self.weight = weight.unsqueeze(1)  # [M, 1, K, n]
        ridge = torch.cat([white.ridge, torch.zeros_like(white.ridge[:, :1])], 1).view(models, places, 1, 1, width + 1)
        self.ridge = ridge / train.sum(2).clamp(min=1).view(models, 1, -1, 1, 1)
        self.index = labels.clamp(min=0).view(models, 1, 1, -1, n).expand(-1, places, -1, -1, -1)  # [M, S, 1, K, n]

    def _logits(self, parameters: Tensor, features: Tensor) -> Tensor:
        """[M, S, K, C·(d + 1)] -> [M, S, C, K, n]: classes before items, so that sums over them are vectorised."""
        models, places, targets = self.shape
        weights = parameters.view(models * places, targets, self.classes, -1).transpose(1, 2).flatten(1, 2)
        logits = torch.bmm(weights, features.transpose(1, 2))
        return logits.view(models, places, self.classes, targets, -1)

    def __call__(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        models, places, targets = self.shape
        logarithm = self._logits(parameters, self.features).log_softmax(2)
        loss = -(logarithm.gather(2, self.index).squeeze(2) * self.weight).sum(-1)
        weight = self.weight.unsqueeze(2)
        probability = logarithm.exp_().mul_(weight)
        probability.scatter_add_(2, self.index, -weight.expand(-1, places, -1, -1, -1))
        gradient = torch.bmm(probability.view(models * places, self.classes * targets, -1), self.features)
        gradient = gradient.view(models, places, self.classes, targets, -1).transpose(2, 3)  # [M, S, K, C, d + 1]
        w = parameters.view(gradient.shape)
        loss = loss + (self.ridge * w**2).sum((-1, -2)) / 2
        return loss, (gradient + self.ridge * w).flatten(-2)

    def hits(self) -> Tensor:
        """Whether the most likely class is right, bool [M, S, K, n]."""
        start = self.every.new_zeros(*self.shape, self.classes * self.every.shape[2])
        logits = self._logits(minimise(self, start), self.every)
        return logits.argmax(2) == self.truth.unsqueeze(1)
