"""Plain linear probe: softmax regression from the state of a token, at each layer, to what is true of the token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.probes.probe import Probe, register
from physlm.probes.samples import sample
from physlm.tasks.capabilities import Probed, supports
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder


class TokenProbe(Probe):
    """A probe that reads the labels of tokens."""

    @classmethod
    def targets(cls, task: Task[Any]) -> Mapping[str, int]:
        """All labels but the one that says what must not be both in training and test."""
        targets = task.probe_targets if supports(task, Probed) else {}
        return {name: classes for name, classes in targets.items() if name != task.clusters}

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return None if cls.targets(task) else f"{task.name} has no labels of tokens to read"


@register
class Linear(TokenProbe):
    """Logistic regression to convergence; convex, so the number doesn't depend on a start or a learning rate."""

    name = "linear"

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        import torch

        from physlm.probes.fitting import reading, softmax

        targets = self.targets(members[0].task)
        classes = torch.tensor(list(targets.values()))

        def solve(features: Tensor, labels: Tensor, test: Tensor) -> Tensor:
            variants = labels.shape[1]
            every = classes.repeat(variants).to(labels.device)
            right = softmax.hits(features, labels.flatten(1, 2), every, test)
            return right.view(*right.shape[:2], variants, len(classes), -1)

        return reading.read_tokens(self.name, decoder, sample(members, targets), solve)
