"""Which layer knows how far: V-probing at every layer, by the distance of what is asked (Part 2.1, results 7 and 8).

As the V-probe, but the answer is read at [END] from each layer by a linear map of its own; the update of the embedding
and the marks are shared. Where a task tells how many steps lie between what its instance asks and what the probe asks,
as iGSM does of necessary parameters, readings at each distance stand beside: of the target `nece` at two steps as
`nece_2`, among as many unnecessary parameters, so that chance is a half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.catalog import Emission, Observation
from physlm.measures.measure import Member
from physlm.probes.probe import readings as readings_of
from physlm.probes.probe import register
from physlm.probes.samples import Texts
from physlm.probes.scores import majority, observations
from physlm.probes.v_probe import QuestionProbe
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

FAR = "nece"  # the target of which distances are told
FEWEST = 20  # readings at a distance that tell anything


@register
class DepthProbe(QuestionProbe):
    """All kinds of questions, through one update of the embedding and a map for each layer; the last stands for all."""

    name = "depth"

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        found = list(super().emits(task))
        if task is None or FAR in cls.targets(task):
            found += [e for e in readings_of(cls.name, f"{FAR}_<distance>", cls.axis) if e.by]
        return found

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.updated import readings

        count = decoder.config.layers + 1
        texts = self.texts(members, marked=True)
        texts = replace(texts, places=np.repeat(texts.places, count, 2), labels=np.repeat(texts.labels, count, 4))
        found = readings(self, decoder, texts, "layer", [m.seed for m in members], layered=True)
        return [list(self._rows(texts, m, members[m].seed, right)) for m, right in enumerate(found)]

    def _rows(self, texts: Texts, member: int, seed: int, right: NDArray[np.bool_]) -> Iterator[Observation]:
        """right [V + 1, K, q, layers]: of the trained model by variant, and of its twin."""
        places = [{"layer": layer} for layer in range(right.shape[3])]
        assert texts.distance is not None
        test, cluster, away = texts.test[member], texts.cluster[member], texts.distance[member]
        order = randomness.permutation(randomness.key("probe", "depth", seed), 0, len(test))
        for k, target in enumerate(texts.targets):
            labels = texts.labels[member, 0, k, :, 0]
            values = np.moveaxis(right[:, k].astype(float), 2, 0)  # [layers, V + 1, q]

            def told(name: str, where: NDArray[np.int64], chance: float | None, whole: bool) -> list[Observation]:
                trained, untrained = values[:, :-1, where], values[:, -1:, where]  # noqa: B023 (used at once)
                headline = places[-1] if whole else None
                return observations(self.name, name, places, trained, untrained, cluster[where], chance, headline)

            there = np.flatnonzero(test & (labels >= 0))
            if not len(there):
                continue
            yield from told(target, there, majority(labels, test), True)
            if target != FAR:
                continue
            others = order[test[order] & (labels[order] >= 0) & (away[order] < 0)]
            for steps in np.unique(away[there][away[there] >= 0]).tolist():
                own = there[away[there] == steps]
                some = min(len(own), len(others))
                if some >= FEWEST:
                    yield from told(f"{target}_{steps}", np.concatenate([own[:some], others[:some]]), 0.5, False)
