"""Grammars themselves: published, random, read and written; numbers beyond float64; exact counts."""

from __future__ import annotations

import json
from fractions import Fraction
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm import grammars
from physlm.errors import UserError
from physlm.grammars import Grammar
from physlm.grammars.grammar import Rules, Spelling
from physlm.grammars.scaled import product, ratio, total

# name: rules, mean length, shortest, longest, derivation entropy in bits (from the released files)
PUBLISHED = {
    "cfg3b": (32, 275.6, 138, 432, 169.2),
    "cfg3i": (32, 308.1, 114, 564, 186.9),
    "cfg3h": (39, 236.4, 97, 459, 204.8),
    "cfg3g": (48, 252.4, 80, 729, 269.9),
    "cfg3f": (54, 249.9, 64, 729, 268.7),
    "cfg3j": (57, 543.9, 128, 2052, 618.6),
    "cfg3k": (68, 516.3, 132, 1458, 608.3),
    "cfg3e1": (444, 198.6, 66, 557, 216.0),
    "cfg3e2": (228, 246.4, 82, 645, 256.3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_grammars_have_their_figures(name: str) -> None:
    rules, mean, shortest, longest, bits = PUBLISHED[name]
    grammar = grammars.published(name)
    assert sum(len(own) for symbols in grammar.rules for own in symbols) == rules
    assert grammar.length_moments[0] == pytest.approx(mean, abs=0.051)
    assert (grammar.min_length, grammar.max_length) == (shortest, longest)
    assert grammar.derivation_entropy / log(2) == pytest.approx(bits, abs=0.051)


@pytest.mark.parametrize("name", ["cfg3b", "cfg3f"])
def test_drawn_sentences_agree_with_the_analytic_figures(name: str) -> None:
    grammar = grammars.published(name)
    drawn = grammars.sample(grammar, 1, np.arange(3000))
    lengths, bits = np.diff(drawn.trees.offsets), -drawn.log_probability / log(2)
    for values, expected in [(lengths, grammar.length_moments[0]), (bits, grammar.derivation_entropy / log(2))]:
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))
    assert lengths.std() == pytest.approx(grammar.length_moments[1], rel=0.1)


def test_string_entropy_is_below_derivation_entropy_by_what_ambiguity_takes() -> None:
    f, b = grammars.published("cfg3f"), grammars.published("cfg3b")
    unambiguous = grammars.string_entropy(b, samples=100)
    assert unambiguous.value == pytest.approx(b.derivation_entropy, abs=1e-9)
    assert unambiguous.stderr < 1e-9
    estimate = grammars.string_entropy(f, samples=300)
    assert 0 < estimate.stderr < 0.1
    # against the plain estimate of E[-ln P]
    drawn = grammars.sample(f, 99, np.arange(300))
    surprise = -grammars.parse(f, drawn.tokens, drawn.trees.offsets).log_probability
    assert abs(surprise.mean() - estimate.value) < 4 * surprise.std() / np.sqrt(300)
    assert 0.1 < f.derivation_entropy - estimate.value < 1.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_families_are_drawn_from_their_knobs(name: str) -> None:
    family = dict(grammars.families()[name])
    published = grammars.published(name)
    del family["rules"]
    knobs = {key: tuple(value) if isinstance(value, list) else value for key, value in family.items()}
    grammar = grammars.random_grammar(**knobs, seed=4)
    assert grammar.sizes == published.sizes
    assert grammar != published
    for made in (grammar, published):
        check_knobs(made, **knobs)


def check_knobs(
    grammar: Grammar,
    sizes: tuple[int, ...],
    degree: tuple[int, int],
    length: tuple[int, int],
    distinct_symbols: bool,
    distinct_rules: bool,
) -> None:
    for depth, symbols in enumerate(grammar.rules):
        assert len(symbols) == sizes[depth]
        level = [rule for rules in symbols for rule in rules]
        assert all(degree[0] <= len(rules) <= degree[1] for rules in symbols)
        assert all(length[0] <= len(rule) <= length[1] for rule in level)
        assert not distinct_symbols or all(len(set(rule)) == len(rule) for rule in level)
        assert not distinct_rules or len(set(level)) == len(level)


@settings(max_examples=50)
@given(
    st.lists(st.integers(4, 6), min_size=1, max_size=4),
    st.tuples(st.integers(1, 2), st.integers(2, 3)),
    st.tuples(st.integers(1, 2), st.just(3)),  # so long that 18 different rules always exist
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_random_grammars_keep_to_their_knobs(
    sizes: list[int],
    degree: tuple[int, int],
    length: tuple[int, int],
    distinct_symbols: bool,
    distinct_rules: bool,
    seed: int,
) -> None:
    knobs = {"distinct_symbols": distinct_symbols, "distinct_rules": distinct_rules}
    grammar = grammars.random_grammar((1, *sizes), degree, length, seed, **knobs)
    check_knobs(grammar, (1, *sizes), degree, length, **knobs)
    assert grammar == grammars.random_grammar((1, *sizes), degree, length, seed, **knobs)
    assert grammars.read(grammars.write(grammar)) == grammar


def test_seeds_draw_different_rules_and_every_possible_one() -> None:
    drawn = {grammars.random_grammar((1, 2), (1, 1), (1, 2), seed).rules[0][0][0] for seed in range(200)}
    assert drawn == {(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"sizes": (1, 2), "degree": (1, 3), "length": (1, 1)}, "level 1 may need 3 different rules, but only 2"),
        ({"sizes": (1, 2, 2), "degree": (3, 3), "length": (2, 2)}, "level 2 may need 6 different rules, but only 4"),
        ({"sizes": (1, 2), "degree": (1, 1), "length": (3, 3), "distinct_symbols": True}, "3 distinct symbols"),
        ({"sizes": (1, *[3] * 20), "degree": (1, 2), "length": (3, 3)}, "can have 3486784401 tokens; at most"),
    ],
)
def test_impossible_random_grammars_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grammars.random_grammar(**knobs, seed=0)  # type: ignore[arg-type]


# the smallest grammar: the root becomes the one terminal
ONE = ((((0,),),),)


@pytest.mark.parametrize(
    ("rules", "terminals", "spelling", "message"),
    [
        ((), 1, (), "exactly one symbol at level 1"),
        (((((0,),), ((0,),)),), 1, (), "exactly one symbol at level 1"),
        (((((),),),), 1, (), "level 1, symbol 0: a rule must have"),
        (((((0, 3),),),), 3, (), r"the rule \[0, 3\] must name symbols 0 to 2 of level 2"),
        (((((-1,),),),), 3, (), r"the rule \[-1\] must name"),
        ((*ONE, ((),)), 1, (), "level 2, symbol 0: a symbol above the last level needs"),
        (ONE, 1, (((1, 1),), ((2, 1),)), "at least one token for each of the 1 terminals"),
        (ONE, 1, (((0, 1),),), "tokens from 1 on"),
        (ONE, 1, (((1, 0),),), "weights from 1 on"),
        (ONE, 1, (((1, 1), (1, 1)),), "a token twice"),
        (
            (((tuple([0] * 2500),),), *(ONE * 2)),
            10_000,
            (),
            "the rules name 2502 symbols in all, a level has up to 10000 and",
        ),
    ],
)
def test_broken_grammars_are_refused(rules: Rules, terminals: int, spelling: Spelling, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Grammar(rules, terminals, spelling)


# the published form, as small as can be: root -> a b | b, a -> 1 2, b -> 2 | 1
FORM = {
    "depth": 2,
    "sizes": [1, 2, 2],
    "idx": [[8], [6, 7], [1, 2]],
    "all": [
        [{"depth": 0, "id": 8, "name": "AH", "children": [[0, 1], [1]]}],
        [
            {"depth": 1, "id": 6, "name": "AF", "children": [[0, 1]]},
            {"depth": 1, "id": 7, "name": "AG", "children": [[1], [0]]},
        ],
        [
            {"depth": 2, "id": 1, "name": "AA", "children": None},
            {"depth": 2, "id": 2, "name": "AB", "children": None},
        ],
    ],
    "count": 8,
}


def test_the_published_form_is_read_and_written() -> None:
    grammar = grammars.read(json.dumps(FORM))
    assert grammar == Grammar(((((0, 1), (1,)),), (((0, 1),), ((1,), (0,)))), 2)
    written = json.loads(grammars.write(grammar))
    assert {key: written[key] for key in FORM} == FORM
    assert (written["eos_token"], written["mask_token"], written["sep_token"]) == (3, 4, 5)
    assert (written["deg_min"], written["deg_max"], written["len_min"], written["len_max"]) == (1, 2, 1, 2)


def test_the_published_form_of_an_implicit_grammar() -> None:
    form = FORM | {"multi_vocab": "overlap_NU1", "content_map": [[1, 3, 4], [2, 4]]}
    grammar = grammars.read(json.dumps(form))
    assert grammar.spelling == (((1, 1), (3, 2), (4, 3)), ((2, 1), (4, 2)))
    assert grammars.read(grammars.write(grammar)) == grammar
    equal = grammars.read(json.dumps(form | {"multi_vocab": "disjoint"}))
    assert equal.spelling == (((1, 1), (3, 1), (4, 1)), ((2, 1), (4, 1)))
    assert grammars.read(grammars.write(equal)) == equal
    with pytest.raises(UserError, match="knows only spellings"):
        grammars.write(Grammar(grammar.rules, 2, (((1, 1), (3, 7)), ((2, 1),))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no JSON"),
        ("[]", 'a list "all"'),
        ('{"all": [[]]}', "at least two levels"),
        ('{"all": [[{}], [{}]]}', 'every symbol has "children"'),
        ('{"all": [3, 4]}', 'every symbol has "children"'),
        ('{"all": [[{"children": "ab"}], [{"children": null}]]}', 'every symbol has "children"'),
        ('{"all": [[{"children": [[0.5]]}], [{"children": null}]]}', 'every symbol has "children"'),
        ('{"all": [[{"children": null}], [{"children": null}]]}', 'every symbol has "children"'),
        ('{"all": [[{"children": [[1]]}], [{"children": null}]]}', "must name symbols 0 to 0 of level 2"),
        (json.dumps(FORM | {"content_map": 3}), "content_map"),
        (json.dumps(FORM | {"content_map": [[1]]}), "each of the 2 terminals"),
        (json.dumps(FORM | {"ptb": "english"}), "aren't layered"),
    ],
)
def test_bad_files_are_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        grammars.read(text)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused_naming_the_known() -> None:
    with pytest.raises(UserError, match=r"no published grammar is called 'cfg4'; there are cfg3b, .*cfg3k"):
        grammars.published("cfg4")


@pytest.mark.parametrize("weights", ["uniform", "linear"])
def test_random_spellings(weights: str) -> None:
    disjoint = grammars.random_spelling(3, 10, "disjoint", weights, 0)
    assert [[token for token, _ in row] for row in disjoint] == [[1, 4, 7, 10], [2, 5, 8], [3, 6, 9]]
    assert [weight for _, weight in disjoint[0]] == ([1, 1, 1, 1] if weights == "uniform" else [1, 2, 3, 4])
    overlap = grammars.random_spelling(3, 300, "overlap", weights, 0)
    owned = [{token for token, _ in row} for row in overlap]
    # 150 draws of 300 hit 300 (1 - e^-½) = 118 of them
    assert all(100 < len(row) <= 150 and row <= set(range(1, 301)) for row in owned)
    assert owned[0] & owned[1]
    assert grammars.random_spelling(3, 300, "overlap", weights, 1) != overlap
    with pytest.raises(UserError, match="2 tokens are too few to spell 3 terminals"):
        grammars.random_spelling(3, 2, "disjoint", weights, 0)


# one symbol a level that doubles or triples: every string of 2^d to 3^d tokens, in astronomically many ways
DEPTH = 5
AMBIGUOUS = Grammar(((((0, 0), (0, 0, 0)),),) * DEPTH, 1)


def ways(depth: int) -> dict[int, int]:
    """Number of derivations of each length: the coefficients of P(x) = Q(x)² + Q(x)³, Q that of one level less."""
    if depth == 0:
        return {1: 1}
    below = ways(depth - 1)
    counts: dict[int, int] = {}
    for times in (2, 3):
        power = {0: 1}
        for _ in range(times):
            onward: dict[int, int] = {}
            for a, x in power.items():
                for b, y in below.items():
                    onward[a + b] = onward.get(a + b, 0) + x * y
            power = onward
        for n, count in power.items():
            counts[n] = counts.get(n, 0) + count
    return counts


def test_parses_beyond_float_precision_are_counted_exactly() -> None:
    expected = ways(DEPTH)
    lengths = [32, 40, 100, 150, 243, 31, 244]
    tokens = np.ones(sum(lengths), np.int32)
    parses = grammars.parse(AMBIGUOUS, tokens, np.cumsum([0, *lengths]))
    for i, n in enumerate(lengths):
        if n in expected:
            assert parses.log_parses[i] == pytest.approx(log(expected[n]), rel=1e-13)
            assert parses.parses[i] == pytest.approx(float(expected[n]), rel=1e-12)
        else:
            assert parses.parses[i] == 0
    assert expected[100] > 2**53
    assert grammars.count_parses(AMBIGUOUS, np.ones(100, np.int32)) == expected[100]
    assert sum(expected.values()) == AMBIGUOUS.derivations


scaled_numbers = st.tuples(st.floats(2.0**-128, 2.0**127), st.integers(-40, 40)) | st.just((0.0, 0))


def exactly(m: float, e: int) -> Fraction:
    return Fraction(m) * Fraction(2) ** (256 * e)


@given(scaled_numbers, scaled_numbers)
def test_scaled_numbers_are_as_exact_as_float64(a: tuple[float, int], b: tuple[float, int]) -> None:
    unit = Fraction(2) ** -51
    for operation, expected in [(product, exactly(*a) * exactly(*b)), (total, exactly(*a) + exactly(*b))]:
        m, e = operation(*a, *b)
        assert m == 0 or 2.0**-128 <= m < 2.0**128
        assert abs(exactly(m, e) - expected) <= unit * expected
    if b[0] > 0 and exactly(*a) <= exactly(*b):
        expected = exactly(*a) / exactly(*b)
        assert abs(Fraction(ratio(*a, *b)) - expected) <= unit * expected + Fraction(2) ** -1022


def test_nearest_refuses_what_would_not_fit_in_memory() -> None:
    with pytest.raises(UserError, match="too many for a grammar of"):
        grammars.nearest(grammars.published("cfg3b"), np.ones(15_000, np.int32), edits=True)
    assert grammars.nearest(grammars.published("cfg3b"), np.ones(15_000, np.int32)) is None
