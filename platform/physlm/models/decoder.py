"""The decoder of a cohort: M models of one shape as one batched program.

Every parameter carries the member dimension first; windows of all members are folded into one batch. A single model
is a cohort of one, so there is one code path.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from physlm import randomness
from physlm.models.contract import ModelConfig
from physlm.models.gpt2 import Gpt2Config
from physlm.models.parts.attention import Attention
from physlm.models.parts.linear import Linear
from physlm.models.parts.mlp import Mlp
from physlm.models.parts.norm import LayerNorm


def initial_std(width: int) -> float:
    """Standard deviation of embeddings and weights: GPT-2's 0.02 at width 768, and the same spread of sums elsewhere.

    A fixed 0.02 leaves a model of width 16 so flat that it stores half as much in 300 exposures.
    """
    return 0.02 * sqrt(768 / width)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: ModelConfig, members: int) -> None:
        super().__init__()
        std = initial_std(config.width)
        residual_std = std / (2 * config.layers) ** 0.5
        self.attention_norm = LayerNorm(members, config.width)
        self.attention = Attention(members, config.width, config.heads, std=std, residual_std=residual_std)
        self.mlp_norm = LayerNorm(members, config.width)
        self.mlp = Mlp(members, config.width, std=std, residual_std=residual_std)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        x = x + self.attention(self.attention_norm(x), batch)
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class Decoder(nn.Module):
    """M decoders with tied embeddings.

    forward: tokens int64 [M, B, T] -> hidden states [M, B·T, d]; `logits` maps them to [M, n, V].
    """

    def __init__(self, config: ModelConfig, vocabulary: int, members: int) -> None:
        super().__init__()
        if not isinstance(config, Gpt2Config):
            raise TypeError(f"no decoder is known for the model {config.type!r}")
        self.config, self.vocabulary = config, vocabulary
        self.embedding = nn.Parameter(torch.empty(members, vocabulary, config.width))
        self.blocks = nn.ModuleList(Block(config, members) for _ in range(config.layers))
        self.norm = LayerNorm(members, config.width)

    @property
    def members(self) -> int:
        """M, the models in the cohort."""
        return self.embedding.shape[0]

    def forward(self, tokens: Tensor) -> Tensor:
        members, batch, context = tokens.shape
        first_row = torch.arange(members, device=tokens.device).view(-1, 1, 1) * self.vocabulary
        x = embedding(tokens + first_row, self.embedding.flatten(0, 1)).view(members, batch * context, -1)
        for block in self.blocks:
            x = block(x, batch)
        y: Tensor = self.norm(x)
        return y

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [M, n, d] -> logits [M, n, V]."""
        return torch.bmm(hidden, self.embedding.transpose(1, 2))


def initialise(decoder: Decoder, seeds: list[int]) -> None:
    """Draw each member's initial parameters from its own seed, the same in any cohort.

    Names the draws after the parameters, so a part added to the decoder leaves the others' draws as they are.
    """
    stds = {f"{name}.weight": part.std for name, part in decoder.named_modules() if isinstance(part, Linear)}
    stds["embedding"] = initial_std(decoder.config.width)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if name.endswith("gain"):
                parameter.fill_(1.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                for m, seed in enumerate(seeds):
                    generator = torch.Generator().manual_seed(randomness.key("init", name, seed) >> 1)
                    draw = torch.randn(parameter.shape[1:], generator=generator) * stds[name]
                    parameter[m].copy_(draw)
