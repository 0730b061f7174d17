"""The Mlp contract: a part that works on each token alone."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from physlm.models.block import BlockConfig
from physlm.models.parts.part import ConfigT, Part
from physlm.registry import Registry


class Mlp(Part[ConfigT]):
    """Base of feed-forward layers.

    has_canon_d  whether there is a place for Canon D inside it
    """

    has_canon_d: ClassVar[bool] = False


class HiddenConfig(BlockConfig):
    """The knob of an MLP with a hidden layer."""

    mlp_size: float = Field(1.0, gt=0, le=16, description="its hidden size over the usual: 4 widths, gated 8/3 widths")

    def hidden_size(self, usual: float) -> int:
        """Numbers in the hidden layer, of one expert in a mixture."""
        return max(1, round(self.mlp_size * usual))


registry: Registry[type[Mlp]] = Registry("MLP", "physlm.models.mlps")  # type: ignore[type-arg]
register = registry.register
