"""Knobs that every part of a block may read; torch-free. What is a part's own stands in the part's own file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from physlm.models.model import ModelConfig

Positions = Literal["rotary", "none", "absolute", "relative"]
Norm = Literal["layer", "rms"]


class BlockConfig(ModelConfig):
    """What the blocks x + mixer(norm(x)), x + mlp(norm(x)) are made of, whichever mixer and MLP they have.

    A part with knobs of its own declares them in a subclass and names it as its `config_type`.
    """

    mixer: str = Field("attention", description="what moves information between tokens")
    positions: Positions = Field("rotary", description="how attention knows of positions")
    distances: int = Field(
        512, ge=2, le=1_048_576, description="positions of `absolute`; distances told apart by `relative`, `positional`"
    )
    mlp: str = Field("gelu", description="feed-forward layer")
    norm: Norm = Field("layer", description="layer norm or root-mean-square norm")
    canon: str = Field("", pattern="^A?B?C?D?$", description="Canon layers, such as AC or ABCD")
    bias: bool = Field(True, description="whether linear maps and layer norms have biases")
    tied: bool = Field(True, description="whether the output layer is the token embedding")
    bidirectional: bool = Field(False, description="whether every token sees all others: an encoder")

    @property
    def causal(self) -> bool:
        return not self.bidirectional
