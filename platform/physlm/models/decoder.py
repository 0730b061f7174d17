"""The decoder of a cohort: M models of one shape as one batched program.

Every parameter carries the member dimension first; windows of all members are folded into one batch. A single model
is a cohort of one, so there is one code path.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding

from physlm import randomness
from physlm.models import mixers, mlps
from physlm.models.architecture import NO_MLP, DecoderConfig
from physlm.models.model import ModelConfig
from physlm.models.parts.cache import Cache
from physlm.models.parts.canon import canon_of
from physlm.models.parts.draws import Draw, initial_std, normal
from physlm.models.parts.norm import norm_of


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)) where there is an MLP; Canon A and C stand behind the norms."""

    def __init__(self, config: DecoderConfig, members: int) -> None:
        super().__init__()
        self.attention_norm = norm_of(config, members)
        self.canon_a = canon_of(config, "A", members, config.width)
        self.attention = mixers.registry[config.mixer](
            config, members
        )  # so named whatever it is: draws are keyed by it
        self.mlp = None
        if config.mlp != NO_MLP:
            self.mlp_norm = norm_of(config, members)
            self.canon_c = canon_of(config, "C", members, config.width)
            self.mlp = mlps.registry[config.mlp](config, members)

    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        normal = self.attention_norm(x)
        if self.canon_a is not None:
            normal = self.canon_a(normal, batch, cache)
        x = x + self.attention(normal, batch, cache)
        if self.mlp is None:
            return x
        normal = self.mlp_norm(x)
        if self.canon_c is not None:
            normal = self.canon_c(normal, batch, cache)
        y: Tensor = x + self.mlp(normal, batch, cache)
        return y


class Decoder(nn.Module):
    """M decoders put together as their config says.

    forward: hidden states, which `logits` maps to logits. step: the same for tokens that follow those in a cache.
    An encoder knows one token more, numbered V: a hidden one, which it is to tell (BERT's [MASK]).
    """

    def __init__(self, config: ModelConfig, vocabulary: int, members: int) -> None:
        super().__init__()
        if not isinstance(config, DecoderConfig):
            raise TypeError(f"no decoder is known for the model {config.type!r}")
        self.config, self.vocabulary = config, vocabulary
        drawn = ("embedding", "mask_embedding", "unembedding", "positions")
        self.draws = dict.fromkeys(drawn, normal(initial_std(config.width)))
        self.embedding = nn.Parameter(torch.empty(members, vocabulary, config.width))
        self.mask_embedding = None if config.causal else nn.Parameter(torch.empty(members, config.width))
        self.unembedding = None if config.tied else nn.Parameter(torch.empty(members, vocabulary, config.width))
        self.positions = None
        if config.positions == "absolute":
            self.positions = nn.Parameter(torch.empty(members, config.distances, config.width))
        self.blocks = nn.ModuleList(Block(config, members) for _ in range(config.layers))
        self.norm = norm_of(config, members)

    @property
    def members(self) -> int:
        """M, the models in the cohort."""
        return self.embedding.shape[0]

    def forward(self, tokens: Int[Tensor, "members batch context"]) -> Float[Tensor, "members batch*context width"]:
        return self._run(tokens, None)

    def set_loss_scale(self, scale: float) -> None:
        """Weigh the parts' own losses, in the passes to come, by the share of a step's batch that a pass has.

        Else a step in several passes would count them several times.
        """
        for block in self.blocks:
            assert isinstance(block, Block)
            for part in (block.attention, block.mlp):
                if part is not None:
                    part.set_loss_scale(scale)

    @torch.no_grad()
    def step(self, tokens: Int[Tensor, "members batch new"], cache: Cache) -> Float[Tensor, "members batch*new width"]:
        """Hidden states of the tokens that follow those in the cache, which then holds them too.

        An empty `Cache()` stands for the start. Raises ValueError for an encoder, whose states are never final.
        """
        if not self.config.causal:
            raise ValueError(f"{self.config.type} sees later tokens, so it can't go on from earlier ones")
        hidden = self._run(tokens, cache)
        cache.length += tokens.shape[2]
        return hidden

    def _run(self, tokens: Tensor, cache: Cache | None) -> Tensor:
        members, batch, context = tokens.shape
        table: Tensor = self.embedding
        if self.mask_embedding is not None:
            table = torch.cat([table, self.mask_embedding.unsqueeze(1)], 1)
        first_row = torch.arange(members, device=tokens.device).view(-1, 1, 1) * table.shape[1]
        x = embedding(tokens + first_row, table.flatten(0, 1))
        if self.positions is not None:
            x = x + self._places(cache.length if cache else 0, context)
        x = x.view(members, batch * context, -1)
        for block in self.blocks:
            x = block(x, batch, cache)
        y: Tensor = self.norm(x)
        return y

    def _places(self, start: int, context: int) -> Tensor:
        assert self.positions is not None
        if start + context > self.positions.shape[1]:
            raise ValueError(
                f"a window of {start + context} tokens is longer than the {self.positions.shape[1]} absolute positions"
            )
        return self.positions[:, None, start : start + context]

    def logits(self, hidden: Float[Tensor, "members n width"]) -> Float[Tensor, "members n vocabulary"]:
        """Unnormalised log-probabilities of the next token."""
        rows = self.embedding if self.unembedding is None else self.unembedding
        return torch.bmm(hidden, rows.transpose(1, 2))


def initialise(decoder: Decoder, seeds: list[int]) -> None:
    """Draw each member's initial parameters from its own seed, the same in any cohort.

    Names the draws after the parameters, so a part added to the decoder leaves the others' draws as they are.
    """
    with torch.no_grad():
        for path, module in decoder.named_modules():
            draws: Mapping[str, Draw] = getattr(module, "draws", {})
            for own, parameter in module.named_parameters(recurse=False):
                name = f"{path}.{own}" if path else own
                if draw := draws.get(own):
                    for m, seed in enumerate(seeds):
                        generator = torch.Generator().manual_seed(randomness.key("init", name, seed) >> 1)
                        parameter[m].copy_(draw(parameter.shape[1:], generator))
                elif own.endswith("gain"):
                    parameter.fill_(1.0)
                elif own.endswith("bias"):
                    parameter.zero_()
                else:
                    raise TypeError(
                        f"{name}: it isn't said how this parameter is drawn; put it into the `draws` of its module, or "
                        "let its name end in gain (starts at 1) or bias (starts at 0)"
                    )
