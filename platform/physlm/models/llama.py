"""LLaMA and its kin: RMS norm, gated MLP of hidden size 8d/3, no biases, an output layer of its own."""

from __future__ import annotations

from typing import ClassVar, Literal

from physlm.models.architecture import DecoderConfig, default
from physlm.models.block import Norm
from physlm.models.model import register


class _LlamaConfig(DecoderConfig):
    mlp: str = default("mlp", "gated")
    norm: Norm = default("norm", "rms")
    bias: bool = default("bias", False)
    tied: bool = default("tied", False)


@register
class LlamaConfig(_LlamaConfig):
    """LLaMA (Touvron et al. 2023): rotary positions."""

    type: Literal["llama"] = "llama"


@register
class LlamaCanonConfig(_LlamaConfig):
    """LLaMA with Canon layers at all four places (Part 4.1)."""

    type: Literal["llama-canon"] = "llama-canon"
    canon: str = default("canon", "ABCD")


@register
class MistralConfig(_LlamaConfig):
    """Mistral-like (Jiang et al. 2023): LLaMA with a head of keys and values for two heads, and a sliding window."""

    version: ClassVar[int] = 2

    type: Literal["mistral"] = "mistral"
    window: int | None = default("window", 4096)
    group_size: int = default("group_size", 2)
