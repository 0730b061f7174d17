"""Drawn sentences: independence of batches, perturbations, diversity."""

from __future__ import annotations

import numpy as np
import pytest

from physlm import grammars
from physlm.errors import UserError
from physlm.grammars import Derivations, Grammar, Noise, Perturbation

GRAMMAR = grammars.random_grammar((1, 3, 3, 3), (2, 3), (2, 3), 0)
# one derivation only, so that every deviation is an error: 0 1 2 of level 2, then of level 3
FIXED = Grammar((((((0, 1, 2) * 40),),), (((0, 0),), ((1, 1),), ((2, 2),))), 3)
RATE = 0.2


@pytest.mark.parametrize("perturbation", [Perturbation(), Perturbation(Noise.SYMBOLS, 0.5, 0.3)])
def test_a_sentence_does_not_depend_on_its_batch(perturbation: Perturbation) -> None:
    indices = np.array([5, 0, 10**12, 3, 3])
    whole = grammars.sample(GRAMMAR, 1, indices, lead=1, perturbation=perturbation)
    for i, index in enumerate(indices):
        alone = grammars.sample(GRAMMAR, 1, np.array([index]), lead=1, perturbation=perturbation)
        part = slice(*whole.trees.offsets[i : i + 2])
        np.testing.assert_array_equal(alone.tokens, whole.tokens[part])
        np.testing.assert_array_equal(alone.trees.symbols, whole.trees.symbols[:, part])
        np.testing.assert_array_equal(alone.trees.indices, whole.trees.indices[:, part])


def test_no_sentences_are_no_tokens() -> None:
    drawn = grammars.sample(GRAMMAR, 1, np.arange(0))
    assert len(drawn.tokens) == 0
    assert drawn.trees.offsets.tolist() == [0]
    assert drawn.trees.boundaries(2).shape == (0,)


def test_other_keys_are_other_sentences() -> None:
    a, b = (grammars.sample(GRAMMAR, key, np.arange(5)).tokens.tolist() for key in (1, 2))
    assert a != b


def fixed(noise: Noise, fraction: float = 1.0, n: int = 500) -> Derivations:
    return grammars.sample(FIXED, 3, np.arange(n), perturbation=Perturbation(noise, fraction, RATE)).trees


def test_terminal_noise_changes_terminals_alone_at_its_rate() -> None:
    trees = fixed(Noise.TERMINALS)
    expected = np.tile(np.repeat([0, 1, 2] * 40, 2), 500)
    np.testing.assert_array_equal(trees.symbols[0], expected)
    wrong = trees.symbols[1] != expected
    assert wrong.mean() == pytest.approx(RATE, abs=5 * np.sqrt(RATE / len(wrong)))
    steps = (trees.symbols[1] - expected)[wrong] % 3
    assert (steps == 1).mean() == pytest.approx(0.5, abs=5 / np.sqrt(wrong.sum()))


@pytest.mark.parametrize(("noise", "share"), [(Noise.SYMBOLS, 0.5), (Noise.SIBLINGS, 1.0)])
def test_symbol_noise_changes_symbols_and_what_they_derive(noise: Noise, share: float) -> None:
    trees = fixed(noise)
    expected = np.tile(np.repeat([0, 1, 2] * 40, 2), 500)
    wrong = trees.symbols[0] != expected
    assert wrong.mean() == pytest.approx(RATE, abs=5 * np.sqrt(2 * RATE / len(wrong)))
    np.testing.assert_array_equal(trees.symbols[1], trees.symbols[0])  # derived from what it became
    steps = (trees.symbols[0] - expected)[wrong] % 3
    assert (steps == 1).mean() == pytest.approx(share, abs=7 / np.sqrt(wrong.sum()))


def test_only_the_fraction_of_sentences_is_perturbed() -> None:
    trees = fixed(Noise.TERMINALS, fraction=0.3, n=2000)
    wrong = (trees.symbols[0] != trees.symbols[1]).reshape(2000, -1).any(axis=1)
    assert wrong.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 2000))


def test_perturbed_sentences_may_outgrow_the_grammar() -> None:
    grammar = Grammar(((((0, 0),),), (((0,),), ((0,) * 50,))), 1)
    perturbation = Perturbation(Noise.SIBLINGS, 1.0, 0.5)
    drawn = grammars.sample(grammar, 1, np.arange(1000), perturbation=perturbation)
    lengths = np.diff(drawn.trees.offsets)
    assert grammar.max_length == 2
    assert lengths.max() == grammars.longest(grammar, perturbation) == 100
    assert set(lengths) == {2, 51, 100}


def test_boundaries_end_symbols_and_sentences() -> None:
    offsets = np.array([0, 3, 4, 4, 8])
    indices = np.array([[-1, 0, 0, 0, 0, 1, 1, 1], [-1, 0, 1, 0, 0, 1, 2, 2]], np.int32)
    trees = Derivations(offsets, np.zeros_like(indices), indices)
    assert trees.boundaries(2).tolist() == [-1, 0, 1, 1, 1, 0, 0, 1]
    assert trees.boundaries(3).tolist() == [-1, 1, 1, 1, 1, 1, 0, 1]


def counted(found: grammars.Diversity) -> tuple[int, int, int]:
    return found.occurrences, found.distinct, found.collisions


@pytest.mark.slow
def test_the_error_of_coincidences_is_their_spread_over_samples() -> None:
    """Level-2 symbols of 60 sentences at a time, derived to level 3: few kinds, so that many pairs are alike."""
    found = []
    for i in range(200):
        drawn = grammars.sample(GRAMMAR, i, np.arange(60))
        found.append(grammars.diversity(drawn.trees, 2, 3).alike)
    values = np.array([estimate.value for estimate in found])
    assert values.std() == pytest.approx(np.mean([estimate.stderr for estimate in found]), rel=0.35)


def test_diversity_counts_what_symbols_become() -> None:
    # two sentences with a separator each: level 2 is A(aa) B(ab) and A(ab) A(aa), level 3 the terminals a b
    symbols = np.array([[-1, 0, 0, 1, 1, -1, 0, 0, 0, 0], [-1, 0, 0, 0, 1, -1, 0, 1, 0, 0]], np.int32)
    indices = np.array([[-1, 0, 0, 1, 1, -1, 0, 0, 1, 1], [-1, 0, 1, 2, 3, -1, 0, 1, 2, 3]], np.int32)
    trees = Derivations(np.array([0, 5, 10]), symbols, indices)
    assert counted(grammars.diversity(trees, 2, 3)) == (4, 3, 1)
    assert counted(grammars.diversity(trees, 1, 3)) == (2, 2, 0)
    assert counted(grammars.diversity(trees, 1, 2)) == (2, 2, 0)
    for upper, lower in [(2, 2), (0, 2), (1, 4)]:
        with pytest.raises(UserError, match="levels must satisfy"):
            grammars.diversity(trees, upper, lower)


def test_diversity_of_a_repeated_sentence() -> None:
    trees = grammars.sample(GRAMMAR, 1, np.zeros(10, np.int64)).trees
    assert counted(grammars.diversity(trees, 1, 4)) == (10, 1, 45)
    unparsed = grammars.trees(GRAMMAR, np.full(8, -1, np.int32), np.array([0, 8]))
    assert counted(grammars.diversity(unparsed, 1, 4)) == (0, 0, 0)
