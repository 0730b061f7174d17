"""Linear architectures of Part 4.1: a recurrence of fixed size in the place of attention, LLaMA's blocks around it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from physlm.models.architecture import DecoderConfig, Mixer, Mlp, Norm, Positions
from physlm.models.model import register


class _LinearConfig(DecoderConfig):
    positions: Positions = Field("none", description="how attention knows of positions")
    mlp: Mlp = Field("gated", description="feed-forward layer")
    norm: Norm = Field("rms", description="layer norm or root-mean-square norm")
    bias: bool = Field(False, description="whether linear maps and layer norms have biases")
    tied: bool = Field(False, description="whether the output layer is the token embedding")


@register
class GlaConfig(_LinearConfig):
    """Gated linear attention (Yang et al. 2023), without short convolutions as published."""

    type: Literal["gla"] = "gla"
    mixer: Mixer = Field("gla", description="what moves information between tokens")
    short_conv: bool = Field(False, description="whether a recurrence sees a short convolution of its inputs")


@register
class Mamba2Config(_LinearConfig):
    """Mamba2 (Dao and Gu 2024) between MLPs, the Mamba2(mlp) of Part 4.1."""

    type: Literal["mamba2"] = "mamba2"
    mixer: Mixer = Field("mamba2", description="what moves information between tokens")


@register
class GdnConfig(_LinearConfig):
    """Gated DeltaNet (Yang et al. 2024)."""

    type: Literal["gdn"] = "gdn"
    mixer: Mixer = Field("gdn", description="what moves information between tokens")
