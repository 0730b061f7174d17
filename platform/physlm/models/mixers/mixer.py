"""The Mixer contract: a part that moves information between tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from physlm.models.block import Positions
from physlm.models.parts.part import ConfigT, Part
from physlm.registry import Registry


class Mixer(Part[ConfigT]):
    """Base of mixers. It must not see later tokens, unless it is bidirectional and the config asks for that.

    positions      kinds of positions that it makes itself; `none` and `absolute` are no mixer's business
    bidirectional  whether it can see later tokens, which an encoder needs
    lora_columns   the columns of its matrices that give queries and then values, by the matrix' name; a matrix has
                   the inputs as rows. Low-rank updates are of these alone; set in `__init__` where sizes are known
    """

    positions: ClassVar[Sequence[Positions]] = ()
    bidirectional: ClassVar[bool] = False
    lora_columns: Mapping[str, Sequence[slice]] = MappingProxyType({})

    @classmethod
    def check(cls, config: ConfigT) -> None:
        if config.width % config.heads:
            raise ValueError(
                f"width: {config.width} can't be split into {config.heads} heads; use a multiple of {config.heads}"
            )

    @classmethod
    def uses_distances(cls, config: ConfigT) -> bool:
        """Whether it tells as many distances between tokens apart as the knob `distances` says."""
        return False


registry: Registry[type[Mixer]] = Registry("mixer", "physlm.models.mixers")  # type: ignore[type-arg]
register = registry.register
