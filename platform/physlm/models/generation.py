"""Generation with a cache: many prompts of many models at once, each token at the cost of one.

Prompts of different lengths stand left-aligned in a batch. Those that are shorter go on with what is drawn for them
while the longer ones are still being read, so that every sequence is computed as if it were alone: there is no filling
to be masked, and recurrences and convolutions are as exact as attention. Prompts are sorted by length, so a batch has
few that differ, and sequences that have ended leave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from physlm import randomness
from physlm.models.decoder import Decoder
from physlm.models.parts.cache import Cache

_MAX_BATCH_NUMBERS = {"cpu": 1 << 26, "gpu": 1 << 31}  # all members together: a quarter or 8 GiB
_MAX_BATCH_SEQUENCES = {"cpu": 1 << 11, "gpu": 1 << 15}  # more at once gain nothing
_MAX_PREFILL_TOKENS = 1 << 16  # in one step, all members together
_SHRINK_BELOW = 0.75  # a batch is made smaller when no more than this part of its sequences goes on


@dataclass(frozen=True)
class Prompt:
    """What one sequence begins with, and how it ends.

    tokens  int [m], at least one
    stop    tokens that end it
    limit   most tokens to be written, the one that ends it included
    index   its number among all prompts with the same key: what is drawn for it depends on these alone
    """

    tokens: NDArray[np.integer]
    stop: Sequence[int]
    limit: int
    index: int = 0


@dataclass(frozen=True)
class Written:
    """What a model has written after a prompt.

    tokens           int32 [k], the token that ended it included
    ended            whether one did, before the limit was reached
    log_probability  of these tokens, in nats, by the distributions that they were drawn from; of the likeliest tokens
                     by the model's own
    """

    tokens: NDArray[np.int32]
    ended: bool
    log_probability: float


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[Prompt]],
    *,
    temperature: float = 0.0,
    keys: Sequence[int] | None = None,
) -> list[list[Written]]:
    """What each of M models writes after its own prompts, which may differ in number, in their order.

    temperature   what logits are divided by before a token is drawn; 0 takes the likeliest
    keys          of M streams of random numbers (see `physlm.randomness`); needed if the temperature isn't 0

    The result depends on the model, the prompt and its draws: not on what it is generated with, beyond the rounding of
    sums. Raises ValueError for a prompt without tokens or limit, and where the decoder has no positions left.
    """
    if temperature < 0 or (temperature > 0 and keys is None):
        raise ValueError(f"a temperature must be 0, or more and with keys to draw by; got {temperature}")
    if any(len(p.tokens) < 1 or p.limit < 1 for own in prompts for p in own):
        raise ValueError("a prompt must have at least one token, and a limit of at least one")
    if not any(prompts):
        return [[] for _ in prompts]
    order = [sorted(range(len(own)), key=lambda i: (len(own[i].tokens), own[i].limit)) for own in prompts]
    written: list[list[Written]] = [[_NOTHING] * len(own) for own in prompts]
    for rows in _batches(decoder, prompts, order):
        batch = _Batch(decoder, [[prompts[m][i] for i in own] for m, own in enumerate(rows)], temperature, keys)
        for m, (own, results) in enumerate(zip(rows, batch.run(), strict=True)):
            for i, result in zip(own, results, strict=True):
                written[m][i] = result
    return written


_NOTHING = Written(np.empty(0, np.int32), False, 0.0)


def _batches(
    decoder: Decoder, prompts: Sequence[Sequence[Prompt]], order: Sequence[Sequence[int]]
) -> Iterator[list[Sequence[int]]]:
    """Rows of each member, so many at once as there is memory for."""
    context = max(len(p.tokens) + p.limit for own in prompts for p in own)
    kind = "cpu" if decoder.embedding.device.type == "cpu" else "gpu"
    # Caches grow by doubling and are copied then; logits come with their logarithms, in double precision.
    numbers = 3 * decoder.config.cache_numbers(context) + 6 * decoder.vocabulary + 4 * context
    sequences = min(_MAX_BATCH_NUMBERS[kind] // numbers, _MAX_BATCH_SEQUENCES[kind])
    size = max(1, sequences // decoder.members)
    for start in range(0, max(map(len, order)), size):
        yield [own[start : start + size] for own in order]


class _Batch:
    """Sequences that are generated together. B rows for each of M members; what isn't a prompt has ended already."""

    def __init__(
        self, decoder: Decoder, prompts: Sequence[Sequence[Prompt]], temperature: float, keys: Sequence[int] | None
    ) -> None:
        self.decoder, self.prompts, self.temperature = decoder, prompts, temperature
        device = decoder.embedding.device
        rows = max(map(len, prompts))
        every = [prompt for own in prompts for prompt in own]
        longest = max(len(p.tokens) for p in every)
        self.first = min(len(p.tokens) for p in every)
        self.most = max(p.limit for p in every)
        stops = max(1, *(len(p.stop) for p in every))
        shape = len(prompts), rows
        tokens = np.zeros((*shape, longest), np.int64)
        length, limit = np.full(shape, self.first), np.zeros(shape, np.int64)
        stop, draws = np.full((*shape, stops), -1), np.zeros((*shape, self.most if temperature else 0))
        for m, own in enumerate(prompts):
            for i, p in enumerate(own):
                tokens[m, i, : len(p.tokens)] = p.tokens
                stop[m, i, : len(p.stop)] = p.stop
                length[m, i], limit[m, i] = len(p.tokens), p.limit
            if temperature and own:
                assert keys is not None
                words = randomness.words(keys[m], np.array([p.index for p in own], np.int64), self.most)
                draws[m, : len(own)] = (words + 0.5) * 2.0**-32
        self.tokens, self.length, self.limit, self.stop, self.draws = (
            torch.from_numpy(array).to(device) for array in (tokens, length, limit, stop, draws)
        )

    @torch.no_grad()
    def run(self) -> list[list[Written]]:
        """What each sequence was continued with."""
        members, rows, longest = self.tokens.shape
        device = self.tokens.device
        member = torch.arange(members, device=device).unsqueeze(1)
        row = torch.arange(rows, device=device).expand(members, -1)  # [M, A]: those still in the batch
        made = torch.zeros(members, rows, self.most + 1, dtype=torch.int64, device=device)  # the last is for no one
        count = torch.zeros(members, rows, dtype=torch.int64, device=device)
        ended = torch.zeros(members, rows, dtype=torch.bool, device=device)
        total = torch.zeros(members, rows, dtype=torch.float64, device=device)
        live = self.limit > 0
        cache = Cache()
        hidden = self._read(cache)
        while True:
            # What follows the tokens in the cache: the prompt's next token, or one that is drawn.
            at = cache.length - self.length[member, row]
            writing = live & (at >= 0)
            token, log_probability = self._choose(hidden, member, row, at)
            if cache.length < longest:
                token = torch.where(at < 0, self.tokens[member, row, cache.length], token)
            made[member, row, torch.where(writing, at, self.most)] = token
            count[member, row] += writing
            total[member, row] += torch.where(writing, log_probability, 0.0)
            stopped = writing & (token.unsqueeze(-1) == self.stop[member, row]).any(-1)
            ended[member, row] |= stopped
            live = live & ~stopped & (at + 1 < self.limit[member, row])
            going = int(live.sum(1).max())
            if not going:
                break
            if going <= _SHRINK_BELOW * row.shape[1]:
                kept = torch.argsort(~live, dim=1, stable=True)[:, :going]
                cache.keep(kept)
                row, live, token = (values.gather(1, kept) for values in (row, live, token))
            hidden = self.decoder.step(token.unsqueeze(2), cache)
        results = zip(*(x.cpu().numpy() for x in (made.to(torch.int32), count, ended, total)), strict=True)
        return [
            [Written(t[i, : n[i]].copy(), bool(e[i]), float(p[i])) for i in range(len(own))]
            for own, (t, n, e, p) in zip(self.prompts, results, strict=True)
        ]

    def _read(self, cache: Cache) -> Float[Tensor, "members rows width"]:
        """Read as much as all prompts have; the states of the last token read."""
        members, rows, _ = self.tokens.shape
        piece = max(1, _MAX_PREFILL_TOKENS // (members * rows))
        for start in range(0, self.first, piece):
            tokens = self.tokens[:, :, start : min(start + piece, self.first)]
            hidden = self.decoder.step(tokens, cache)
        return hidden.view(members, rows, tokens.shape[2], -1)[:, :, -1]

    def _choose(
        self,
        hidden: Float[Tensor, "members live width"],
        member: Int[Tensor, "members 1"],
        row: Int[Tensor, "members live"],
        at: Int[Tensor, "members live"],
    ) -> tuple[Int[Tensor, "members live"], Float[Tensor, "members live"]]:
        """The next token of each sequence that goes on, and its log-probability."""
        logits = self.decoder.logits(hidden).double()
        if not self.temperature:
            best, token = logits.max(-1)
            return token, best - logits.logsumexp(-1)
        shares = torch.log_softmax(logits / self.temperature, -1)
        reached = shares.exp().cumsum(-1)
        draw = self.draws[member, row, at.clamp(0, self.most - 1)] * reached[..., -1]
        token = (reached <= draw.unsqueeze(-1)).sum(-1)
        return token, shares.gather(-1, token.unsqueeze(-1)).squeeze(-1)
