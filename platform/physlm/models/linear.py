"""Linear architectures of Part 4.1: a recurrence of fixed size in the place of attention, LLaMA's blocks around it."""

from __future__ import annotations

from typing import Literal

from physlm.models.architecture import DecoderConfig, default
from physlm.models.block import Norm, Positions
from physlm.models.model import register


class _LinearConfig(DecoderConfig):
    positions: Positions = default("positions", "none")
    mlp: str = default("mlp", "gated")
    norm: Norm = default("norm", "rms")
    bias: bool = default("bias", False)
    tied: bool = default("tied", False)


@register
class GlaConfig(_LinearConfig):
    """Gated linear attention (Yang et al. 2023), without short convolutions as published."""

    type: Literal["gla"] = "gla"
    mixer: str = default("mixer", "gla")
    short_conv: bool = default("short_conv", False)


@register
class Mamba2Config(_LinearConfig):
    """Mamba2 (Dao and Gu 2024) between MLPs, the Mamba2(mlp) of Part 4.1."""

    type: Literal["mamba2"] = "mamba2"
    mixer: str = default("mixer", "mamba2")


@register
class GdnConfig(_LinearConfig):
    """Gated DeltaNet (Yang et al. 2024)."""

    type: Literal["gdn"] = "gdn"
    mixer: str = default("mixer", "gdn")
