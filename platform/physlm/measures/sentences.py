"""Sentences that trained models write in a language that has a grammar, from nothing or from a true beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from physlm import grammars, ragged, randomness
from physlm.measures.measure import Member
from physlm.tasks.capabilities import HasGrammar, require
from physlm.tasks.task import Stream

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


@dataclass(frozen=True)
class Sentences:
    """n sentences, their beginnings included, without separators.

    tokens, offsets  int32 [total], int64 [n + 1]
    ended            bool [n]: the model ended it, before it was longer than any sentence
    log_probability  float64 [n]: in nats, by the model, of what it wrote
    """

    grammar: grammars.Grammar
    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    ended: NDArray[np.bool_]
    log_probability: NDArray[np.float64]

    @cached_property
    def parses(self) -> grammars.Parses:
        """What a parser says of each."""
        return grammars.parse(self.grammar, self.tokens, self.offsets)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether each is a sentence of the language, and was ended, [n]."""
        return self.ended & (self.parses.parses > 0)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each, [n]."""
        return np.diff(self.offsets)


def write(decoder: Decoder, members: Sequence[Member], cuts: Sequence[int], count: int) -> list[Sentences]:
    """`count` sentences of each member, drawn at temperature 1, each begun with so many tokens of a true sentence."""
    from physlm.models.generation import Prompt, generate

    tasks = [require(m.task, HasGrammar) for m in members]
    positions = decoder.config.longest_context
    prompts = []
    for task, m, cut in zip(tasks, members, cuts, strict=True):
        drawn = task.sample(Stream("test", m.seed), np.arange(count, dtype=np.int64))
        room = m.task.max_length if positions is None else min(m.task.max_length, positions)
        begun = [drawn[i][: 1 + cut] for i in range(count)]
        prompts.append([Prompt(p, (task.separator,), room + 1 - len(p), i) for i, p in enumerate(begun)])
    keys = [randomness.key("sentences", cut, m.seed) for m, cut in zip(members, cuts, strict=True)]
    results = []
    written = generate(decoder, prompts, temperature=1.0, keys=keys)
    for task, own, texts in zip(tasks, prompts, written, strict=True):
        ended = np.array([w.ended for w in texts])
        whole = [
            np.concatenate([p.tokens[1:], w.tokens[: len(w.tokens) - w.ended]]) for p, w in zip(own, texts, strict=True)
        ]
        results.append(
            Sentences(
                task.grammar,
                np.concatenate(whole).astype(np.int32),
                ragged.offsets_of([len(tokens) for tokens in whole]),
                ended,
                np.array([w.log_probability for w in texts]),
            )
        )
    return results
