"""Layered context-free grammars: made, drawn from, parsed exactly and fast. Knows nothing of tasks or models."""

from physlm.grammars.chart import Parses, parse
from physlm.grammars.derivation import Derivations, Noise, Perturbation, Sample, longest, sample
from physlm.grammars.diversity import Diversity, diversity
from physlm.grammars.entropy import Estimate, string_entropy
from physlm.grammars.generate import random_grammar, random_spelling
from physlm.grammars.grammar import Grammar
from physlm.grammars.nearest import Nearest, nearest
from physlm.grammars.prefix import next_token, valid_prefix
from physlm.grammars.published import families, published, read, write
from physlm.grammars.trees import count_parses, trees

__all__ = [
    "Derivations",
    "Diversity",
    "Estimate",
    "Grammar",
    "Nearest",
    "Noise",
    "Parses",
    "Perturbation",
    "Sample",
    "count_parses",
    "diversity",
    "families",
    "longest",
    "nearest",
    "next_token",
    "parse",
    "published",
    "random_grammar",
    "random_spelling",
    "read",
    "sample",
    "string_entropy",
    "trees",
    "valid_prefix",
    "write",
]
