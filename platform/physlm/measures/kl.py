"""Divergence of a model from the true language, token by token (Part 1, section 3; Part 4.1, task Lano)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import PANEL
from physlm.measures.measure import Measure, Member, register
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import HasGrammar, require, unsupported_reason
from physlm.tasks.task import Instances, Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

SMOOTHING = 1e-5
_MAX_TOKENS = 1 << 17  # of all members together: bounds the memory of the logits


@register
class Kl(Measure):
    """Of fresh, unperturbed sentences, one in each window, and all their tokens with the end:

    kl           Σ p·(ln p̃ - ln q̃) in nats per token: p is the exact distribution of the next token given those before
                 it, q the model's; both are smoothed as published, by adding 1e-5 to each probability
    excess_loss  the model's loss on what came next, less the true surprisal: the same in expectation but for the
                 smoothing, and noisier

    `chance` is that of a uniform guess among the tokens in use. Standard errors are clustered by sentence.
    """

    name = "kl"
    version = 2
    samples = 300

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        divergence = Emission(
            "kl",
            "nats per token",
            "divergence of the model's next-token distribution from the true one",
            better="lower",
            chance="a uniform guess among the tokens in use",
            floor="the true distribution",
            drawing=PANEL,
        )
        return [
            divergence,
            replace(divergence, name="excess_loss", meaning="loss on what came next, less its true surprisal"),
        ]

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return unsupported_reason(task, HasGrammar) or super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        indices = np.arange(self.samples, dtype=np.int64)
        drawn = [m.task.sample(Stream("test", m.seed), indices) for m in members]
        predicted = predictions(decoder, drawn, [m.task.separator for m in members])
        return [observations(m, i, q) for m, i, q in zip(members, drawn, predicted, strict=True)]


def observations(member: Member, instances: Instances, log_q: NDArray[np.float64]) -> list[Observation]:
    """log_q float64 [total, vocabulary]: the model's log-probabilities of what follows each token of the sentences."""
    task = require(member.task, HasGrammar)
    p = task.next_token(instances.tokens, instances.offsets)
    truth, guess = _smoothed(p), 1 / task.used_tokens
    true_surprisal, following = surprisals(task, instances, p)
    excess = -log_q[np.arange(len(following)), following] - true_surprisal

    def divergence(log_model: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray((p * (truth - log_model)).sum(1))

    smoothed_guess = log((guess + SMOOTHING) / (1 + SMOOTHING * p.shape[1]))
    return [
        _per_token("kl", divergence(_smoothed(np.exp(log_q))), divergence(smoothed_guess), instances),
        _per_token("excess_loss", excess, -log(guess) - true_surprisal, instances),
    ]


def surprisals(
    task: HasGrammar[Any], instances: Instances, p: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What follows each token of whole sentences: its true surprisal in nats, [total], and the token itself, [total].

    p: float64 [total, vocabulary], the exact distributions.
    """
    following = np.append(instances.tokens[1:], task.separator).astype(np.int64)
    following[instances.offsets[1:] - 1] = task.separator
    return -np.log(p[np.arange(len(following)), following]), following


def _smoothed(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log((p + SMOOTHING) / (1 + SMOOTHING * p.shape[1])))


def _per_token(
    name: str, values: NDArray[np.float64], guessed: NDArray[np.float64], instances: Instances
) -> Observation:
    lengths = instances.lengths
    sums = np.add.reduceat(values, instances.offsets[:-1])
    value, stderr = standard_errors.ratio(sums, lengths)
    return Observation(name, value, "nats per token", stderr, len(lengths), chance=float(guessed.mean()), floor=0.0)


def predictions(decoder: Decoder, drawn: Sequence[Instances], separators: Sequence[int]) -> list[NDArray[np.float64]]:
    """Log-probabilities of what follows each token of n instances of each model, each instance read alone.

    float64 [total, vocabulary] for each.
    """
    import torch

    longest = max(int(instances.lengths.max()) for instances in drawn)
    place = np.arange(longest)
    n = len(drawn[0])
    at_once = max(1, _MAX_TOKENS // (len(drawn) * longest))
    parts: list[list[NDArray[np.float64]]] = [[] for _ in drawn]
    for start in range(0, n, at_once):
        rows, there = [], []
        for instances, separator in zip(drawn, separators, strict=True):
            there.append(place < instances.lengths[start : start + at_once, None])
            offsets = instances.offsets[start : start + at_once + 1]
            rows.append(ragged.padded(instances.tokens, offsets, longest, separator))
        tokens = torch.from_numpy(np.stack(rows)).to(decoder.embedding.device)
        with torch.no_grad():
            shares = decoder.logits(decoder(tokens)).double().log_softmax(-1).cpu().numpy()
        for own, inside, table in zip(parts, there, shares, strict=True):
            own.append(table.reshape(*inside.shape, -1)[inside])
    return [np.concatenate(own) for own in parts]
