"""GPT-2 with rotary positions instead of absolute ones and tied embeddings: GPT2-ℓ-h of the Physics papers.

Pre-norm blocks x + attention(norm(x)), x + mlp(norm(x)); biases everywhere, GELU, hidden layer 4 × width, no dropout.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from physlm.models.contract import ModelConfig, register


@register
class Gpt2Config(ModelConfig):
    """Knobs of `gpt2`. Parameters without embedding: ℓ·(12d² + 13d) + 2d."""

    type: Literal["gpt2"] = "gpt2"

    @model_validator(mode="after")
    def _even_heads(self) -> Gpt2Config:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width: {self.width} can't be split into {self.heads} heads of even size (rotary positions turn "
                f"pairs); use a multiple of {2 * self.heads}"
            )
        return self

    def body_parameters(self) -> int:
        d = self.width
        return self.layers * (12 * d * d + 13 * d) + 2 * d

    def flops_per_token(self, vocabulary: int, context: int) -> int:
        d = self.width
        # scores and weighted sum over (context + 1) / 2 positions on average
        attention = 2 * d * (context + 1)
        return self.layers * (24 * d * d + attention) + 2 * d * vocabulary
