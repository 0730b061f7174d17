"""Measures of models whose weights are rounded to few bits, for the quantisation law (Part 3.3, result 8).

`knowledge_bits@int8` is the measure `knowledge_bits` after rounding, its observations named `learned_bits_int8` and so
on. Every matrix is rounded, the embedding too (the paper's GPTQ spares it; in small models it is most of the
parameters), to the nearest of 2^b - 1 levels that are symmetric around 0, with one scale for each output channel, or
for each group of inputs of a channel. Gains and biases stay. Computed with the rounded weights in float32, which is
what integer weights times their scales are, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from physlm.catalog import Emission, Observation
from physlm.catalog.emission import Panel
from physlm.measures.measure import Measure, Member
from physlm.tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder

SCALE_BITS = 16
UNROUNDED_BITS = 16


@dataclass(frozen=True)
class Quantisation:
    """How weights are rounded: to so many bits, with a scale for each `group` inputs of a channel; None for all."""

    name: str
    bits: int
    group: int | None = None


QUANTISATIONS: Mapping[str, Quantisation] = {
    q.name: q for q in (*(Quantisation(f"int{bits}", bits) for bits in (8, 6, 5, 4, 3)), Quantisation("int4g32", 4, 32))
}


def variant(cls: type[Measure], quantisation: Quantisation) -> type[Measure]:
    """The measure of the same models after rounding."""

    class Quantised(cls):  # type: ignore[misc, valid-type]
        name = f"{cls.name}@{quantisation.name}"

        @classmethod
        def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
            size = Emission(
                f"weight_bits_{quantisation.name}", "bits per parameter", "mean bits of a rounded parameter"
            )
            return [*(_rounded(emission, quantisation) for emission in super().emits(task)), size]

        def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
            with rounded(decoder, quantisation) as bits:
                taken = super().evaluate(decoder, members)
            size = Observation(f"weight_bits_{quantisation.name}", bits, "bits per parameter")
            return [
                [*(replace(o, measure=f"{o.measure}_{quantisation.name}") for o in observations), size]
                for observations in taken
            ]

    return Quantised


def _rounded(emission: Emission, quantisation: Quantisation) -> Emission:
    """The declaration of the same number of rounded weights; maps and lines are drawn of whole weights alone."""
    return replace(
        emission,
        name=f"{emission.name}_{quantisation.name}",
        meaning=f"{emission.meaning}, of weights rounded to {quantisation.name}",
        variant_of=emission.variant_of and f"{emission.variant_of}_{quantisation.name}",
        drawing=emission.drawing if isinstance(emission.drawing, Panel) else None,
    )


@contextmanager
def rounded(decoder: Decoder, quantisation: Quantisation) -> Iterator[float]:
    """Round the decoder's weights while the context lasts; gives the mean bits of a parameter, scales included."""
    import torch

    kept = {name: p.detach().clone() for name, p in decoder.named_parameters()}
    total = bits = 0
    try:
        with torch.no_grad():
            for name, parameter in decoder.named_parameters():
                total += parameter.numel()
                if parameter.ndim < 3:  # the first dimension counts members
                    bits += UNROUNDED_BITS * parameter.numel()
                    continue
                # inputs last: an embedding's row is one output channel, a matrix [in, out] has them in columns
                by_row = name.endswith("embedding")
                weights = parameter if by_row else parameter.transpose(-1, -2)
                new, scales = round_weights(weights, quantisation)
                parameter.copy_(new if by_row else new.transpose(-1, -2))
                bits += quantisation.bits * parameter.numel() + SCALE_BITS * scales
        yield bits / total
    finally:
        with torch.no_grad():
            for name, parameter in decoder.named_parameters():
                parameter.copy_(kept[name])


def round_weights(weights: Tensor, quantisation: Quantisation) -> tuple[Tensor, int]:
    """weights [..., channels, inputs] -> the nearest that `bits` can say, and how many scales it takes."""
    import torch
    from torch.nn.functional import pad

    inputs = weights.shape[-1]
    group = min(quantisation.group or inputs, inputs)
    filled = pad(weights, (0, -inputs % group))
    groups = filled.reshape(*filled.shape[:-1], -1, group)
    most = 2 ** (quantisation.bits - 1) - 1
    scale = groups.abs().amax(-1, keepdim=True) / most
    levels = torch.where(scale > 0, groups / scale, 0.0).round().clamp(-most, most)
    return (levels * scale).flatten(-2)[..., :inputs], scale.numel()
