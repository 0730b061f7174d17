"""Bits of knowledge that a model has learned of a bioD world (Part 3.3, section 2.2 and theorem for bioD).

With p₁ the loss on a name, p₂ the loss on a value (all its tokens) and p₃ the loss on a value's first chunk, each a
mean in nats, a model with P parameters stores at least

    R·P = N·log₂(N₀/e^p₁) + N·K·log₂(D^C/e^p₂) + K·D·log₂(T^L/(D·e^p₃))      bits, of at most
    R_max·P = N·log₂(N₀/N) + N·K·C·log₂D + K·D·log₂(T^L/D).

Each person is scored once, its sentences in an order not seen in training, in windows packed as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log2, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures.contract import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.tasks.biod import NAME, VALUE, Biod
from physlm.tasks.contract import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

LN2 = log(2)


@register
class KnowledgeBits(Measure):
    """Learned bits with their name, value and set terms, bits per parameter, and memorizable accuracy."""

    name = "knowledge_bits"

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        return None if isinstance(task, Biod) else f"it counts the facts of the task biod, not of {task.name}"

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        people = max(m.task.config.people for m in members)
        scored = score(decoder, members, people)
        return [observations(m, s) for m, s in zip(members, scored, strict=True)]


def observations(member: Member, scored: Scored) -> list[Observation]:
    """The measure's numbers from the losses of a model on the first N instances of its stream, or more."""
    task = member.task
    assert isinstance(task, Biod)
    config, parameters = task.config, member.parameters_counted
    n, k, d = config.people, config.attributes, config.diversity
    rows = n * task.max_length  # a smaller world than its neighbours' is scored more than once: take each person once
    nll = scored.nll[:rows].reshape(n, -1)
    part = scored.instances.labels["part"][:rows].reshape(n, -1)
    chunk = scored.instances.labels["chunk"][:rows].reshape(n, -1)
    right = scored.right[:rows].reshape(n, -1)

    name_loss = np.where(part == NAME, nll, 0.0).sum(1)  # [N], one for each person
    value_loss = np.where(part == VALUE, nll, 0.0).sum(1) / k
    chunk_loss = np.where(chunk == 0, nll, 0.0).sum(1) / k
    name_bits = n * (log2(task.names_possible) - name_loss / LN2)  # [N], each an estimate from one person
    value_bits = n * k * (config.chunks * log2(d) - value_loss / LN2)
    set_bits = k * d * (config.chunk_length * log2(config.vocabulary) - log2(d) - chunk_loss / LN2)
    learned = name_bits + value_bits + set_bits
    value_tokens = (part == VALUE).sum(1)[0] // k
    known = right[part == VALUE].reshape(n, k, value_tokens).all(2)  # [N, K]

    def mean(
        measure: str,
        values: NDArray[Any],
        unit: str,
        scale: float = 1.0,
        chance: float | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
    ) -> Observation:
        stderr = float(values.std(ddof=1)) / sqrt(n) * scale
        return Observation(measure, float(values.mean()) * scale, unit, stderr, n, chance, floor, ceiling)

    share = 1 / parameters
    most = task.bits_max
    guess = config.chunks * log(d)
    return [
        mean("learned_bits", learned, "bits", chance=0.0, ceiling=most),
        mean("name_bits", name_bits, "bits", chance=0.0, ceiling=n * log2(task.names_possible / n)),
        mean("value_bits", value_bits, "bits", chance=0.0, ceiling=n * k * config.chunks * log2(d)),
        mean("set_bits", set_bits, "bits"),
        mean("bits_per_parameter", learned, "bits per parameter", share, chance=0.0, ceiling=most * share),
        Observation("bits_per_parameter_max", most * share, "bits per parameter"),
        Observation("bits_max", most, "bits"),
        mean("name_loss", name_loss, "nats", chance=log(task.names_possible), floor=log(n)),
        mean("value_loss", value_loss, "nats", chance=guess, floor=0.0),
        mean("first_chunk_loss", chunk_loss, "nats", chance=log(d), floor=0.0),
        mean("memorizable_accuracy", known.mean(1), "1", chance=float(d) ** -config.chunks, floor=0.0, ceiling=1.0),
    ]
