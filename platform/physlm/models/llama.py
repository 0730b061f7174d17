"""LLaMA and its kin: RMS norm, gated MLP of hidden size 8d/3, no biases, an output layer of its own."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from physlm.models.architecture import DecoderConfig, Mlp, Norm
from physlm.models.model import register


class _LlamaConfig(DecoderConfig):
    mlp: Mlp = Field("gated", description="feed-forward layer")
    norm: Norm = Field("rms", description="layer norm or root-mean-square norm")
    bias: bool = Field(False, description="whether linear maps and layer norms have biases")
    tied: bool = Field(False, description="whether the output layer is the token embedding")


@register
class LlamaConfig(_LlamaConfig):
    """LLaMA (Touvron et al. 2023): rotary positions."""

    type: Literal["llama"] = "llama"


@register
class LlamaCanonConfig(_LlamaConfig):
    """LLaMA with Canon layers at all four places (Part 4.1)."""

    type: Literal["llama-canon"] = "llama-canon"
    canon: str = Field("ABCD", pattern="^A?B?C?D?$", description="Canon layers, such as AC or ABCD")


@register
class MistralConfig(_LlamaConfig):
    """Mistral-like (Jiang et al. 2023): LLaMA with a head of keys and values for two heads, and a sliding window."""

    version: ClassVar[int] = 2

    type: Literal["mistral"] = "mistral"
    window: int | None = Field(
        4096, ge=2, le=1_048_576, description="latest tokens that attention sees; all if not given"
    )
    group_size: int = Field(2, ge=1, le=1024, description="query heads that share a head of keys and values")
