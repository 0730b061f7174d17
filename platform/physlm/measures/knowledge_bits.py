"""Bits of knowledge that a model has learned of a world of persons (Part 3.3, section 2.2).

With p₁ the loss on a name, p₂ the loss on a value (all its tokens) and p₃ the loss on a value's first chunk, each a
mean in nats, a model with P parameters stores of bioD at least

    R·P = N·log₂(N₀/e^p₁) + N·K·log₂(D^C/e^p₂) + K·D·log₂(T^L/(D·e^p₃))      bits, of at most
    R_max·P = N·log₂(N₀/N) + N·K·C·log₂D + K·D·log₂(T^L/D),

and of bioS, where p₂ is the loss on all values of a person together,

    R·P = N·log₂(N₀/e^p₁) + N·log₂(S₀/e^p₂),  of at most  R_max·P = N·log₂(N₀/N) + N·log₂S₀.

`CountsKnowledge.knowledge` has the constants and says which token spells what. Each person worth knowing is scored
once, its sentences in an order not seen in training, in windows packed as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, log2
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.measure import Measure, Member, register
from physlm.measures.windows import Scored, score
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import (
    CountsKnowledge,
    Knowledge,
    require,
    supports,
    unsupported_reason,
    without_distractors,
)
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

LN2 = log(2)


@register
class KnowledgeBits(Measure):
    """Learned bits with their name, value and set terms, bits per parameter, and memorizable accuracy."""

    name = "knowledge_bits"

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        bits = Emission(
            "learned_bits",
            "bits",
            "what the model has learned of the world",
            better="higher",
            chance="a model that knows no fact",
            chance_is_exact=False,
            ceiling="all that there is to know",
            drawing=PANEL,
        )
        loss = Emission(
            "name_loss",
            "nats",
            "loss on a name",
            better="lower",
            chance="a uniform guess among what could be",
            chance_is_exact=False,
            floor="all names known, but not which one comes",
            drawing=PANEL,
        )
        found = [
            bits,
            replace(bits, name="name_bits", meaning="the part of the learned bits that is in names"),
            replace(bits, name="value_bits", meaning="the part of the learned bits that is in values"),
            replace(
                bits,
                name="bits_per_parameter",
                unit="bits per parameter",
                meaning="learned bits for each counted parameter",
            ),
            Emission("bits_per_parameter_max", "bits per parameter", "what there is to know for each parameter"),
            Emission("bits_max", "bits", "what there is to know of the world"),
            loss,
            replace(loss, name="value_loss", meaning="loss on a value, all its tokens", floor="every value known"),
            Emission(
                "memorizable_accuracy",
                "1",
                "share of attributes whose every token is the likeliest one",
                better="higher",
                chance="the likeliest values of the attributes",
                chance_is_exact=False,
                floor="no attribute known",
                ceiling="every attribute known",
                drawing=PANEL,
            ),
        ]
        if task is None or (supports(task, CountsKnowledge) and task.knowledge.sets is not None):
            found += [
                Emission(
                    "set_bits", "bits", "the part of the learned bits that is in the sets of values", better="higher"
                ),
                replace(
                    loss,
                    name="first_chunk_loss",
                    meaning="loss on the first chunk of a value",
                    chance="a guess among the chunks of the set",
                    floor="every chunk known",
                ),
            ]
        return found

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, CountsKnowledge) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        members = [replace(m, task=without_distractors(m.task)) for m in members]
        people = max(_knowledge(m).people for m in members)
        scored = score(decoder, members, people)
        return [observations(m, s) for m, s in zip(members, scored, strict=True)]


def _knowledge(member: Member) -> Knowledge:
    return require(member.task, CountsKnowledge).knowledge


def observations(member: Member, scored: Scored) -> list[Observation]:
    """The measure's numbers from the losses of a model on the first N instances of its stream, or more."""
    world, parameters = _knowledge(member), member.parameters_counted
    n, k = world.people, world.values
    rows = scored.instances.offsets[n]  # a smaller world than its neighbours' is scored more than once: take each once
    told = world.fact_of(scored.instances)[:rows]
    nll, right = scored.nll[:rows], scored.right[:rows]
    owner = ragged.owners(scored.instances.offsets[: n + 1])

    def each(where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(owner[where], nll[where], n).astype(np.float64)  # [N], one for each person

    name_loss, value_loss = each(told == 0), each(told > 0) / k
    name_bits = n * (log2(world.names_possible) - name_loss / LN2)  # [N], each an estimate from one person
    value_bits = n * (world.value_bits - k * value_loss / LN2)
    learned = name_bits + value_bits
    wrong = np.bincount(owner[told > 0] * k + told[told > 0] - 1, ~right[told > 0], n * k).reshape(n, k)
    known = wrong[:, : world.attributes] == 0  # [N, attributes]

    def mean(
        measure: str,
        values: NDArray[Any],
        unit: str,
        scale: float = 1.0,
        chance: float | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
    ) -> Observation:
        average, stderr = standard_errors.mean(values)
        stderr = None if stderr is None else stderr * scale
        return Observation(measure, average * scale, unit, stderr, n, chance, floor, ceiling)

    of_sets = []
    if world.sets is not None:
        chunk_loss = each(world.sets.first(scored.instances)[:rows]) / k
        set_bits = world.sets.strings * (world.sets.bits - chunk_loss / LN2)
        learned = learned + set_bits
        of_sets = [
            mean("set_bits", set_bits, "bits"),
            mean("first_chunk_loss", chunk_loss, "nats", chance=world.sets.guess, floor=0.0),
        ]
    share, most = 1 / parameters, world.bits_max
    return [
        mean("learned_bits", learned, "bits", chance=0.0, ceiling=most),
        mean("name_bits", name_bits, "bits", chance=0.0, ceiling=n * log2(world.names_possible / n)),
        mean("value_bits", value_bits, "bits", chance=0.0, ceiling=n * world.value_bits),
        mean("bits_per_parameter", learned, "bits per parameter", share, chance=0.0, ceiling=most * share),
        Observation("bits_per_parameter_max", most * share, "bits per parameter"),
        Observation("bits_max", most, "bits"),
        mean("name_loss", name_loss, "nats", chance=log(world.names_possible), floor=log(n)),
        mean("value_loss", value_loss, "nats", chance=world.value_bits * LN2 / k, floor=0.0),
        mean("memorizable_accuracy", known.mean(1), "1", chance=world.guess, floor=0.0, ceiling=1.0),
        *of_sets,
    ]
