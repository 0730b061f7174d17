"""How much entropy a sentence has: the floor of every language model's loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physlm import randomness
from physlm.grammars.chart import parse
from physlm.grammars.derivation import sample
from physlm.grammars.grammar import Grammar


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error."""

    value: float
    stderr: float


def string_entropy(grammar: Grammar, samples: int = 1000, seed: int = 0) -> Estimate:
    """Entropy of a sentence as a string, its end included, in nats.

    H(string) = H(derivation) - E[ln P(string) / P(derivation)]: the first term is exact, and only the second, what
    ambiguity takes away, is estimated, over fresh derivations. It is 0 without error where nothing is ambiguous.
    """
    drawn = sample(grammar, randomness.key("grammar", "entropy", seed), np.arange(samples, dtype=np.int64))
    excess = parse(grammar, drawn.tokens, drawn.trees.offsets).log_probability - drawn.log_probability
    # one derivation's excess is no less than 0; rounding may say otherwise
    excess = np.maximum(excess, 0.0)
    return Estimate(
        grammar.derivation_entropy - float(excess.mean()), float(excess.std(ddof=1)) / float(np.sqrt(samples))
    )
