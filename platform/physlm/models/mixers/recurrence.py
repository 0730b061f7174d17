"""Base of linear mixers: a state of fixed size for each head in the place of all tokens before."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from physlm.models import counts
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts
from physlm.models.mixers.mixer import Mixer


class RecurrenceConfig(BlockConfig):
    """Knobs that recurrences share."""

    state: int | None = Field(None, ge=1, le=4096, description="key size of a recurrent head")
    expand: float | None = Field(
        None, gt=0, le=16, description="values of all recurrent heads together, over the width"
    )
    short_conv: bool = Field(True, description="whether a recurrence sees a short convolution of its inputs")


class Recurrence(Mixer[RecurrenceConfig]):
    """Sizes of a recurrence, and what stands before it.

    expansion  values of all heads together over the width, where `expand` isn't given
    """

    config_type = RecurrenceConfig
    expansion: ClassVar[float] = 1.0

    @classmethod
    def check(cls, config: RecurrenceConfig) -> None:
        expand, heads = config.expand or cls.expansion, config.heads
        values = round(expand * config.width)
        if values % heads or values < heads:
            raise ValueError(
                f"width: {expand:g} x {config.width} values can't be split into {heads} heads; "
                f"use a multiple of {heads}"
            )

    @classmethod
    def value_size(cls, config: RecurrenceConfig) -> int:
        """Values of a head."""
        return round((config.expand or cls.expansion) * config.width) // config.heads

    @classmethod
    def key_size(cls, config: RecurrenceConfig) -> int:
        """Keys of a head: half a value's size where the knob `state` doesn't say it."""
        return config.state or max(1, cls.value_size(config) // 2)

    @staticmethod
    def input_counts(config: RecurrenceConfig, channels: int) -> Counts:
        """Counts of Canon B, the short convolution and its activation before a recurrence (`parts.scan.Inputs`)."""
        short = counts.convolution(channels) + Counts(kept=channels) if config.short_conv else Counts()
        return counts.canon(config, "B", channels) + short
