"""GPT-2 as the Physics papers train it: rotary positions instead of absolute ones, tied embeddings (GPT2-ℓ-h).

Pre-norm blocks x + attention(norm(x)), x + mlp(norm(x)); biases everywhere, GELU, hidden layer 4 × width, no dropout.
Parameters without embedding: ℓ·(12d² + 13d) + 2d. The original with learned absolute positions is `gpt2-absolute`.
"""

from __future__ import annotations

from typing import Literal

from physlm.models.architecture import DecoderConfig, default
from physlm.models.block import Positions
from physlm.models.model import register


@register
class Gpt2Config(DecoderConfig):
    """GPT-2 with rotary positions."""

    type: Literal["gpt2"] = "gpt2"


@register
class Gpt2AbsoluteConfig(DecoderConfig):
    """GPT-2 as published (Radford et al. 2019): an embedding of absolute positions is added to the tokens'."""

    type: Literal["gpt2-absolute"] = "gpt2-absolute"
    positions: Positions = default("positions", "absolute")


@register
class Gpt2RelativeConfig(DecoderConfig):
    """GPT-2 whose attention adds a learned number for each head and distance (Raffel et al. 2020, without buckets)."""

    type: Literal["gpt2-relative"] = "gpt2-relative"
    positions: Positions = default("positions", "relative")


@register
class Gpt2UniformConfig(DecoderConfig):
    """Part 1's GPT_uni: head i averages the last 2^i tokens, whatever they are."""

    type: Literal["gpt2-uniform"] = "gpt2-uniform"
    mixer: str = default("mixer", "uniform")
    positions: Positions = default("positions", "none")


@register
class Gpt2PositionalConfig(DecoderConfig):
    """Part 1's GPT_pos: attention weights depend on distances alone."""

    type: Literal["gpt2-positional"] = "gpt2-positional"
    mixer: str = default("mixer", "positional")
    positions: Positions = default("positions", "none")


@register
class Gpt2ExpertsConfig(DecoderConfig):
    """GPT-2 with 32 experts d → d → d in the place of each MLP, one for each token (Part 3.3)."""

    type: Literal["gpt2-experts"] = "gpt2-experts"
    mlp: str = default("mlp", "experts")
    mlp_size: float = default("mlp_size", 0.25)
    experts: int = default("experts", 32)


@register
class Gpt2CanonConfig(DecoderConfig):
    """GPT-2 with rotary positions and Canon layers at all four places (Part 4.1)."""

    type: Literal["gpt2-canon"] = "gpt2-canon"
    canon: str = default("canon", "ABCD")
