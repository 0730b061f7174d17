"""Everything that is computed by dynamic programming, against enumeration of whole small languages."""

from __future__ import annotations

from itertools import pairwise, product
from math import exp, log

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from physlm import grammars
from physlm.errors import UserError
from physlm.grammars import Derivations, Grammar

Language = dict[tuple[int, ...], tuple[int, float]]  # sentence -> number of parses, probability


def enumerate_symbol(grammar: Grammar, depth: int, symbol: int) -> list[tuple[tuple[int, ...], float]]:
    """Every derivation of the symbol: its tokens and its probability."""
    if depth == grammar.depth:
        weights = sum(weight for _, weight in grammar.spelling[symbol])
        return [((token,), weight / weights) for token, weight in grammar.spelling[symbol]]
    rules = grammar.rules[depth][symbol]
    found = []
    for rule in rules:
        for parts in product(*(enumerate_symbol(grammar, depth + 1, s) for s in rule)):
            tokens = tuple(token for string, _ in parts for token in string)
            found.append((tokens, float(np.prod([p for _, p in parts])) / len(rules)))
    return found


def language(grammar: Grammar) -> Language:
    sentences: Language = {}
    for tokens, p in enumerate_symbol(grammar, 0, 0):
        count, mass = sentences.get(tokens, (0, 0.0))
        sentences[tokens] = (count + 1, mass + p)
    return sentences


@st.composite
def small_grammars(draw: st.DrawFn, most: int = 600) -> Grammar:
    """Random grammars of at most `most` derivations, spelt plainly or implicitly, rules of one to three symbols."""
    sizes = (1, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    degree, length = draw(st.sampled_from([(1, 2), (2, 2), (1, 3)])), draw(st.sampled_from([(1, 2), (2, 2), (1, 3)]))
    seed = draw(st.integers(0, 10**6))
    assume(all(sum(size**n for n in range(length[0], length[1] + 1)) >= degree[1] for size in sizes[1:]))
    grammar = grammars.random_grammar(sizes, degree, length, seed, distinct_rules=False)
    spelling = draw(st.sampled_from(["plain", "disjoint", "overlap"]))
    if spelling != "plain":
        tokens = grammar.terminals + draw(st.integers(0, 2))
        rows = grammars.random_spelling(grammar.terminals, tokens, spelling, "linear", seed)
        grammar = Grammar(grammar.rules, grammar.terminals, rows)
    assume(grammar.derivations <= most)
    return grammar


@st.composite
def strings_near(draw: st.DrawFn, grammar: Grammar) -> list[tuple[int, ...]]:
    """Sentences, sentences with an error, and strings of any kind."""
    sentences = sorted(language(grammar))
    strings: list[tuple[int, ...]] = [(), (-1,), (0,), (10**9,)]
    for _ in range(8):
        sentence = list(draw(st.sampled_from(sentences)))
        strings.append(tuple(sentence))
        at = draw(st.integers(0, len(sentence) - 1))
        error = draw(st.sampled_from(["change", "drop", "double"]))
        if error == "change":
            sentence[at] = draw(st.integers(-1, grammar.tokens + 1))
        elif error == "drop":
            del sentence[at]
        else:
            sentence.insert(at, sentence[at])
        strings.append(tuple(sentence))
        strings.append(tuple(draw(st.lists(st.integers(1, grammar.tokens), max_size=grammar.max_length + 2))))
    return strings


def flat(strings: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([t for s in strings for t in s], np.int32), np.cumsum([0, *map(len, strings)])


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_parse_counts_and_weighs_every_string(data: st.DataObject) -> None:
    grammar = data.draw(small_grammars())
    strings, sentences = data.draw(strings_near(grammar)), language(grammar)
    parses = grammars.parse(grammar, *flat(strings))
    for i, string in enumerate(strings):
        count, p = sentences.get(string, (0, 0.0))
        assert parses.parses[i] == count
        assert grammars.count_parses(grammar, np.array(string, np.int32)) == count
        if count:
            assert parses.log_parses[i] == pytest.approx(log(count), abs=1e-12)
            assert parses.log_probability[i] == pytest.approx(log(p), abs=1e-12)
        else:
            assert parses.log_parses[i] == parses.log_probability[i] == -np.inf


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_next_token_is_the_ratio_of_prefix_probabilities(data: st.DataObject) -> None:
    grammar = data.draw(small_grammars())
    strings, sentences = data.draw(strings_near(grammar)), language(grammar)
    begins: dict[tuple[int, ...], float] = {}
    for sentence, (_, p) in sentences.items():
        for k in range(len(sentence) + 1):
            begins[sentence[:k]] = begins.get(sentence[:k], 0.0) + p
    tokens, offsets = flat(strings)
    rows = grammars.next_token(grammar, tokens, offsets)
    assert rows.shape == (len(tokens) + len(strings), grammar.tokens + 1)
    for i, string in enumerate(strings):
        for k in range(len(string) + 1):
            prefix = string[:k]
            whole = begins.get(prefix, 0.0)
            expected = np.zeros(grammar.tokens + 1)
            if whole:
                expected[0] = sentences.get(prefix, (0, 0.0))[1] / whole
                for token in range(1, grammar.tokens + 1):
                    expected[token] = begins.get((*prefix, token), 0.0) / whole
            np.testing.assert_allclose(rows[offsets[i] + i + k], expected, atol=1e-12)
        valid = max(k for k in range(len(string) + 1) if string[:k] in begins)
        assert grammars.valid_prefix(grammar, np.array(string, np.int32)) == valid


@pytest.mark.slow
@settings(max_examples=150)
@given(small_grammars())
def test_lengths_entropies_and_counts_are_those_of_the_language(grammar: Grammar) -> None:
    derivations = enumerate_symbol(grammar, 0, 0)
    lengths = np.array([len(tokens) for tokens, _ in derivations])
    p = np.array([p for _, p in derivations])
    mean, sd = grammar.length_moments
    assert grammar.derivations == len(derivations)
    assert (grammar.min_length, grammar.max_length) == (lengths.min(), lengths.max())
    assert mean == pytest.approx(p @ lengths)
    assert sd == pytest.approx(np.sqrt(max(0.0, p @ lengths**2 - (p @ lengths) ** 2)), abs=1e-6)
    assert grammar.derivation_entropy == pytest.approx(-(p @ np.log(p)))
    assert grammar.used_tokens == {token for tokens, _ in derivations for token in tokens}
    q = np.array([q for _, q in language(grammar).values()])
    estimate = grammars.string_entropy(grammar, samples=400)
    assert abs(estimate.value + q @ np.log(q)) <= 5 * estimate.stderr + 1e-9


def levenshtein(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data())
def test_nearest_sentence_is_nearest(data: st.DataObject) -> None:
    grammar = data.draw(small_grammars(most=200))
    sentences = language(grammar)
    for string in data.draw(strings_near(grammar))[:14]:
        tokens = np.array(string, np.int32)
        distances = [sum(a != b for a, b in zip(s, string, strict=True)) for s in sentences if len(s) == len(string)]
        found = grammars.nearest(grammar, tokens)
        if found is None:
            assert not distances
        else:
            sentence = tuple(found.sentence.tolist())
            assert sentence in sentences
            assert found.changes == min(distances) == sum(a != b for a, b in zip(sentence, string, strict=True))
        edited = grammars.nearest(grammar, tokens, edits=True)
        assert edited is not None
        sentence = tuple(edited.sentence.tolist())
        assert sentence in sentences
        assert edited.changes == min(levenshtein(s, string) for s in sentences) == levenshtein(sentence, string)


def check_tree(grammar: Grammar, tokens: np.ndarray, symbols: np.ndarray, indices: np.ndarray) -> float:
    """Assert that rows of symbols and indices are a derivation of the tokens; returns its log-probability."""
    n = len(tokens)
    above = [(0, 0, n)]  # symbol, start, end
    log_p = 0.0
    for depth, (symbol_row, index_row) in enumerate(zip(symbols, indices, strict=True)):
        starts = [0, *(1 + np.flatnonzero(np.diff(index_row))).tolist()]
        here = [(int(symbol_row[a]), a, b) for a, b in zip(starts, [*starts[1:], n], strict=True)]
        assert index_row[starts].tolist() == list(range(len(here)))
        assert all((symbol_row[a:b] == s).all() for s, a, b in here)
        for symbol, start, end in above:
            children = [child for child in here if start <= child[1] < end]
            assert children[-1][2] == end
            rules = grammar.rules[depth][symbol]
            assert tuple(s for s, _, _ in children) in rules
            log_p -= log(len(rules))
        above = here
    for (terminal, _, _), token in zip(above, tokens.tolist(), strict=True):
        weights = dict(grammar.spelling[terminal])
        log_p += log(weights[token] / sum(weights.values()))
    return log_p


def trees_of(trees: Derivations, i: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(trees.offsets[i], trees.offsets[i + 1])
    return trees.symbols[:, part], trees.indices[:, part]


@pytest.mark.slow
@settings(max_examples=100)
@given(st.data())
def test_trees_are_derivations_of_their_strings(data: st.DataObject) -> None:
    grammar = data.draw(small_grammars())
    strings, sentences = data.draw(strings_near(grammar)), language(grammar)
    trees = grammars.trees(grammar, *flat(strings))
    for i, string in enumerate(strings):
        symbols, indices = trees_of(trees, i)
        if string in sentences:
            log_p = check_tree(grammar, np.array(string), symbols, indices)
            assert exp(log_p) <= sentences[string][1] * (1 + 1e-9)
        else:
            assert (symbols == -1).all()
            assert (indices == -1).all()


@pytest.mark.slow
@settings(max_examples=100)
@given(small_grammars(), st.integers(0, 2), st.integers(0, 2**40))
def test_samples_are_derivations_with_the_stated_probability(grammar: Grammar, lead: int, first: int) -> None:
    drawn = grammars.sample(grammar, 7, first + np.arange(20), lead=lead)
    sentences = language(grammar)
    for i in range(20):
        a, b = drawn.trees.offsets[i : i + 2]
        symbols, indices = trees_of(drawn.trees, i)
        assert (drawn.tokens[a : a + lead] == 0).all()
        assert (symbols[:, :lead] == -1).all()
        assert (indices[:, :lead] == -1).all()
        sentence = drawn.tokens[a + lead : b]
        log_p = check_tree(grammar, sentence, symbols[:, lead:], indices[:, lead:])
        assert drawn.log_probability[i] == pytest.approx(log_p, abs=1e-12)
        assert tuple(sentence.tolist()) in sentences


@pytest.mark.parametrize("spelling", ["plain", "overlap"])
def test_sentences_are_as_frequent_as_they_are_likely(spelling: str) -> None:
    grammar = grammars.random_grammar((1, 2, 2, 2), (2, 2), (1, 2), 5)
    if spelling != "plain":
        grammar = Grammar(grammar.rules, 2, grammars.random_spelling(2, 3, "overlap", "linear", 1))
    sentences = language(grammar)
    n = 40_000
    drawn = grammars.sample(grammar, 11, np.arange(n))
    bounds = drawn.trees.offsets
    counts = dict.fromkeys(sentences, 0)
    for a, b in pairwise(bounds):
        counts[tuple(drawn.tokens[a:b].tolist())] += 1
    expected = n * np.array([p for _, p in sentences.values()])
    chi = (np.array(list(counts.values())) - expected) / np.sqrt(expected)
    assert np.abs(chi).max() < 5


@pytest.mark.parametrize("offsets", [[], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3]])
def test_wrong_offsets_are_refused(offsets: list[int]) -> None:
    grammar, tokens = grammars.random_grammar((1, 2), (1, 1), (1, 1), 0), np.ones(3, np.int32)
    for use in (grammars.parse, grammars.next_token, grammars.trees):
        with pytest.raises(UserError, match="must ascend from 0 to the number of tokens, 3"):
            use(grammar, tokens, np.array(offsets, np.int64))
