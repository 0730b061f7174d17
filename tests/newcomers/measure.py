# A newcomer's measure, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/measures/calibration.py
"""Whether a model's confidence is its accuracy: expected calibration error of the next token (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.kl import predictions
from physlm.measures.measure import Measure, Member, register
from physlm.tasks.task import Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

BINS = 10


@register
class Calibration(Measure):
    """Of the likeliest next token of fresh instances, each read alone, at all places that are trained on:

    calibration             Σ over ten bins of confidence of |accuracy - confidence|, weighted by their tokens. No
                            chance: a model that knows nothing, and says so, is calibrated
    calibration.confidence  mean probability that the model gives its likeliest token. Who knows how many tokens are in
                            use, and nothing more, gives 1 over their number, which is the chance level
    """

    name = "calibration"
    samples = 300

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        return [
            Emission(
                "calibration",
                "1",
                "expected calibration error of the next token",
                better="lower",
                floor="confidence is accuracy",
                ceiling="sure and always wrong",
                drawing=PANEL,
            ),
            Emission(
                "calibration.confidence",
                "1",
                "mean probability of the likeliest next token",
                chance="a uniform guess among the tokens in use",
                floor="no confidence",
                ceiling="always sure",
                drawing=PANEL,
            ),
        ]

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        indices = np.arange(self.samples, dtype=np.int64)
        drawn = [m.task.sample(Stream("test", m.seed), indices) for m in members]
        found = []
        for m, instances, log_q in zip(
            members, drawn, predictions(decoder, drawn, [m.task.separator for m in members]), strict=True
        ):
            trained = np.append(instances.loss[1:], False) & (ragged.places(instances.offsets) >= 0)
            trained[instances.offsets[1:] - 1] = False  # what follows an instance is another one
            confidence = np.where(trained, np.exp(log_q.max(1)), 0.0)
            right = np.where(trained, log_q.argmax(1) == np.append(instances.tokens[1:], 0), False)
            bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
            gaps = np.bincount(bins[trained], right[trained] - confidence[trained], BINS)
            # linearised: each token's part of its bin's gap, with the gap's sign
            signed = np.where(trained, (right - confidence) * np.sign(gaps)[bins], 0.0)
            tokens = ragged.sums(trained, instances.offsets)
            error, stderr = standard_errors.ratio(ragged.sums(signed, instances.offsets), tokens)
            sure, sure_stderr = standard_errors.ratio(ragged.sums(confidence, instances.offsets), tokens)
            n = len(instances)
            found.append(
                [
                    Observation("calibration", max(0.0, error), "1", stderr, n, floor=0.0, ceiling=1.0),
                    Observation(
                        "calibration.confidence",
                        sure,
                        "1",
                        sure_stderr,
                        n,
                        chance=1 / m.task.used_tokens,
                        floor=0.0,
                        ceiling=1.0,
                    ),
                ]
            )
        return found
