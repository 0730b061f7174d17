"""The task cfg: sentences with truth and labels, verification, probabilities."""

from __future__ import annotations

import json
import re
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from physlm import grammars
from physlm.errors import UserError
from physlm.grammars import Grammar
from physlm.tasks import Stream, build, registry
from physlm.tasks import cfg as module
from physlm.tasks.cfg import Cfg, CfgConfig

SMALL = CfgConfig()
FIRST = np.arange(20)


def small(**knobs: object) -> Cfg:
    return Cfg(CfgConfig.model_validate(knobs))


def test_it_is_registered() -> None:
    assert registry["cfg"] is Cfg
    assert isinstance(build(SMALL), Cfg)


@pytest.mark.slow
@pytest.mark.parametrize("preset", Cfg.presets)
@pytest.mark.parametrize("cut", [0, 50])
def test_every_preset_verifies_its_sentences_but_not_without_their_end(preset: str, cut: int) -> None:
    task = small(**Cfg.presets[preset], cut=cut)
    instances = task.sample(Stream("test", 1), np.arange(3))
    for i in range(3):
        prompt, completion = task.prompt(instances, i), task.completion(instances, i)
        assert np.append(instances[i], 0).tolist() == [*prompt.tolist(), *completion.tolist()]
        assert len(prompt) == 1 + min(cut, len(instances[i]) - 1)
        assert prompt[1:].tolist() == list(instances.truth[i])
        verdict = task.verify(instances.truth[i], completion)
        assert verdict.correct
        assert verdict.counts["parses"] >= 1
        assert verdict.counts["tokens"] == len(instances[i]) - 1 <= task.max_length - 1
        assert not task.verify(instances.truth[i], completion[:-1]).correct
    assert instances.loss.all()


def test_published_presets_are_the_published_grammars() -> None:
    for name in grammars.families():
        assert small(**Cfg.presets[name]).grammar == grammars.published(name)
        assert small(**Cfg.presets[f"{name}-family"]).grammar.sizes == grammars.published(name).sizes


def test_any_split_into_batches_gives_the_same_instances() -> None:
    task = small(implicit="overlap", perturbation="symbols", cut=3)
    whole = task.sample(Stream("train", 2), FIRST)
    parts = [task.sample(Stream("train", 2), part) for part in (FIRST[:1], FIRST[1:7], FIRST[7:])]
    np.testing.assert_array_equal(whole.tokens, np.concatenate([p.tokens for p in parts]))
    np.testing.assert_array_equal(whole.lengths, np.concatenate([p.lengths for p in parts]))
    assert list(whole.truth) == [truth for p in parts for truth in p.truth]
    for name, row in whole.labels.items():
        np.testing.assert_array_equal(row, np.concatenate([p.labels[name] for p in parts]))


def test_streams_and_seeds_differ() -> None:
    task = small()
    drawn = {task.sample(Stream(split, seed), FIRST).tokens.tobytes() for split in ("train", "test") for seed in (0, 1)}
    assert len(drawn) == 4
    assert small(seed=1).grammar != task.grammar
    # the cut changes what is asked, not what is written
    np.testing.assert_array_equal(task.sample(Stream(), FIRST).tokens, small(cut=5).sample(Stream(), FIRST).tokens)


@pytest.mark.slow
def test_labels_are_the_tree_of_every_token() -> None:
    task = small(grammar="cfg3b")  # unambiguous: the parser must find the very tree
    instances = task.sample(Stream(), FIRST)
    sentences, offsets = np.delete(instances.tokens, instances.offsets[:-1]), instances.offsets - np.arange(21)
    trees = grammars.trees(task.grammar, sentences, offsets)
    is_token = instances.tokens != task.separator
    assert list(instances.labels) == [
        f"{kind}_{level}" for level in range(2, 7) for kind in ("symbol", "index", "boundary")
    ]
    for level in range(2, 7):
        for name, expected in [
            ("symbol", trees.symbols[level - 2]),
            ("index", trees.indices[level - 2]),
            ("boundary", trees.boundaries(level)),
        ]:
            label = instances.labels[f"{name}_{level}"]
            assert (label[~is_token] == -1).all()
            np.testing.assert_array_equal(label[is_token], expected)
    for name, classes in task.probe_targets.items():
        assert set(instances.labels[name].tolist()) <= set(range(-1, classes))


def test_implicit_spellings_hide_the_terminals_which_become_labels() -> None:
    task = small(implicit="disjoint", implicit_tokens=30, implicit_weights="linear")
    assert task.used_tokens == len(task.vocabulary) == 31
    instances = task.sample(Stream(), np.arange(500))
    terminal = instances.labels["symbol_5"]
    written = instances.tokens > 0
    np.testing.assert_array_equal(terminal[written], (instances.tokens[written] - 1) % 3)
    counts = np.bincount(instances.tokens, minlength=31)[1::3]  # the first terminal's tokens
    assert counts / counts.sum() == pytest.approx(np.arange(1, 11) / 55, abs=0.03)
    assert task.probe_targets["symbol_5"] == 3
    assert task.verify(instances.truth[0], task.completion(instances, 0)).correct
    plain = small()
    assert "symbol_5" not in plain.sample(Stream(), FIRST).labels
    assert plain.used_tokens == len(plain.vocabulary) == 4


@pytest.mark.slow
@pytest.mark.parametrize("perturbation", ["terminals", "symbols", "siblings"])
def test_only_training_text_is_perturbed(perturbation: str) -> None:
    task, clean = small(perturbation=perturbation, perturbed=0.5, error_rate=0.5), small()
    np.testing.assert_array_equal(task.sample(Stream("test"), FIRST).tokens, clean.sample(Stream("test"), FIRST).tokens)
    many = np.arange(400)
    instances = task.sample(Stream("train"), many)
    valid = np.mean([task.verify(instances.truth[i], task.completion(instances, i)).correct for i in range(len(many))])
    assert 0.45 < valid < 0.75
    assert instances.lengths.max() <= task.max_length


def test_completions_are_judged_with_a_reason() -> None:
    task = small(
        rules=[[[[0, 1], [1, 1, 1]]], [[[0, 1]], [[1], [0, 0]]]]
    )  # root -> a b | b b b; a -> 1 2; b -> 2 | 1 1

    def verdict(given: tuple[int, ...], *completion: int) -> tuple[bool, str]:
        v = task.verify(given, np.array(completion, np.int32))
        return v.correct, v.reason

    assert verdict((), 1, 2, 2, 0) == (True, "")
    assert verdict((1, 2), 2, 0) == (True, "")
    assert verdict((1, 2, 2), 0) == (True, "")
    assert verdict((), 1, 2, 0) == (False, "no sentence ends after these 2 tokens")
    assert verdict((), 0) == (False, "no sentence ends after these 0 tokens")
    assert verdict((1,), 2, 2, 2, 0) == (False, "no sentence begins with the first 4 tokens")
    assert verdict((), 1, -1, 2, 0) == (False, "no sentence begins with the first 2 tokens")
    assert verdict((), 1, 2, 2) == (False, "a completion must end with the separator and have it nowhere else")
    assert verdict((), 1, 2, 2, 0, 0) == verdict((), 1, 2, 2)
    assert verdict(()) == (False, "there are no tokens to check")
    assert verdict((), *[1] * 7, 0) == (False, "7 tokens are more than the longest sentence has, 6")
    assert task.verify((), np.array([1, 2, 2, 2, 0], np.int32)).counts == {
        "parses": 0.0,
        "tokens": 4.0,
        "valid_tokens": 3.0,
    }
    assert task.verify((), np.array([1, 1, 1, 1, 2, 0], np.int32)).counts == {"parses": 1.0, "tokens": 5.0}


TASK = small(grammar="cfg3f", cut=10)
TRUTH = TASK.sample(Stream(), np.arange(1)).truth[0]


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=400).map(lambda raw: np.frombuffer(raw, np.uint8)),
        hnp.arrays(
            st.sampled_from([np.int32, np.int64, np.uint64, np.float64, np.bool_]),
            st.sampled_from([(), (0,), (5,), (700,), (2, 3)]),
        ),
        st.lists(st.integers(-1, 4), max_size=800).map(lambda tokens: np.array(tokens, np.int32)),
        st.lists(st.integers(1, 3), max_size=800).map(lambda tokens: np.array([*tokens, 0], np.int32)),
    )
)
def test_no_completion_breaks_the_verifier(completion: np.ndarray) -> None:
    verdict = TASK.verify(TRUTH, completion)
    whole = [*TRUTH, *completion.ravel().tolist()]
    expected = (
        completion.ndim == 1
        and completion.dtype.kind in "iu"
        and whole[-1:] == [0]
        and grammars.count_parses(TASK.grammar, np.clip(np.array(whole[:-1], float), -1, 9).astype(np.int32)) > 0
    )
    assert verdict.correct is bool(expected)
    assert verdict.correct or verdict.reason


def test_huge_completions_are_refused_at_once() -> None:
    million = np.append(np.ones(5_000_000, np.int32), np.int32(0))
    assert "more than the longest sentence" in TASK.verify(TRUTH, million).reason
    wrapped = np.array([2**32 + 1, 0])  # would be token 1 in 32 bits
    assert TASK.verify((), wrapped).counts["valid_tokens"] == 0


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.data())
def test_changed_sentences_are_judged_by_the_parser(index: int, data: st.DataObject) -> None:
    task = small(grammar="cfg3h")
    instances = task.sample(Stream("test"), np.array([index]))
    completion = task.completion(instances, 0).copy()
    at = data.draw(st.integers(0, len(completion) - 2))
    completion[at] = 1 + completion[at] % 3
    count = grammars.count_parses(task.grammar, completion[:-1])
    assert task.verify(instances.truth[0], completion).correct == (count > 0)


def test_probabilities_of_whole_sentences_are_products_of_next_tokens() -> None:
    task = small(grammar="cfg3f")
    instances = task.sample(Stream(), FIRST)
    rows = task.next_token(instances.tokens, instances.offsets)
    assert rows.shape == (len(instances.tokens), 4)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    following = np.append(instances.tokens[1:], 0)  # the next instance's separator ends a sentence
    chosen = np.log(rows[np.arange(len(rows)), following])
    for i in range(len(FIRST)):
        sentence = instances[i][1:]
        a, b = instances.offsets[i : i + 2]
        assert chosen[a:b].sum() == pytest.approx(task.log_probability(sentence), rel=1e-12)
    assert task.log_probability(np.array([1], np.int32)) == -np.inf
    broken = task.next_token(np.array([0, 1, 7, 1], np.int32), np.array([0, 4]))
    assert broken.sum(axis=1).tolist() == pytest.approx([1, 1, 0, 0])
    for tokens, offsets in [([1, 2], [0, 2]), ([0], [0, 1, 1])]:
        with pytest.raises(UserError, match="must start with the separator"):
            task.next_token(np.array(tokens, np.int32), np.array(offsets))


def test_the_floor_is_the_mean_surprise_of_the_truth() -> None:
    task = small(sizes=(1, 3, 3, 3), degree=(3, 4))
    instances = task.sample(Stream("test"), np.arange(2000))
    sentences, offsets = np.delete(instances.tokens, instances.offsets[:-1]), instances.offsets - np.arange(2001)
    surprise = -grammars.parse(task.grammar, sentences, offsets).log_probability
    assert abs(surprise.mean() - task.floor()) < 4 * surprise.std() / np.sqrt(2000)
    assert task.floor() < task.grammar.derivation_entropy  # it is ambiguous
    assert task.string_entropy.stderr < 0.1
    assert small(grammar="cfg3b").floor() / log(2) == pytest.approx(169.2, abs=0.05)


def test_surprisal_is_that_of_whole_sentences() -> None:
    task = small(implicit="overlap", implicit_tokens=9)
    instances = task.sample(Stream("test"), FIRST)
    surprisal = task.surprisal(instances)
    assert surprisal is not None
    assert surprisal.tolist() == pytest.approx([-task.log_probability(instances[i][1:]) for i in range(len(FIRST))])
    assert small(perturbation="terminals").surprisal(instances) is None


def test_evaluations_begin_sentences_or_go_on_with_them() -> None:
    assert small(grammar="cfg3f").evaluations == {"continue": {"cut": 50}}
    assert small(grammar="cfg3f", cut=50).evaluations == {"start": {"cut": 0}}
    assert small(grammar="cfg3f", cut=7).evaluations == {"start": {"cut": 0}, "continue": {"cut": 50}}
    task = small()
    assert task.evaluations == {"continue": {"cut": task.grammar.min_length - 1}}


def test_unused_tokens_are_not_counted() -> None:
    task = small(rules=[[[[0, 2]]]])
    assert len(task.vocabulary) == 4
    assert task.used_tokens == 3


def test_facts_are_the_grammar() -> None:
    task = small(implicit="overlap", implicit_tokens=20)
    facts = task.facts()
    rules: list[list[list[tuple[int, ...]]]] = [[[] for _ in range(size)] for size in facts["sizes"][:-1]]
    for r in range(len(facts["rule_depth"])):
        right = facts["right"][facts["right_start"][r] : facts["right_start"][r + 1]]
        rules[facts["rule_depth"][r]][facts["rule_symbol"][r]].append(tuple(right.tolist()))
    assert tuple(tuple(tuple(own) for own in level) for level in rules) == task.grammar.rules
    for t, row in enumerate(task.grammar.spelling):
        part = slice(facts["spelling_start"][t], facts["spelling_start"][t + 1])
        assert facts["spelling"][part].tolist() == [token for token, _ in row]
        assert facts["spelling_share"][part].sum() == pytest.approx(1)


def test_imported_grammars_become_configs() -> None:
    imported = Grammar(((((0, 1), (1,)),), (((0, 1),), ((1,), (0,)))), 2, (((1, 1), (3, 2)), ((2, 1),)))
    config = CfgConfig.of(imported, cut=2)
    assert Cfg(config).grammar == imported
    assert CfgConfig.model_validate_json(config.model_dump_json()) == config


def test_rules_may_be_given_in_the_published_form() -> None:
    published = grammars.published("cfg3b")
    implicit = Grammar(published.rules, 3, grammars.random_spelling(3, 12, "overlap", "linear", 0))
    for grammar in (published, implicit):
        config = CfgConfig.model_validate({"rules": json.loads(grammars.write(grammar)), "cut": 3})
        assert Cfg(config).grammar == grammar
        assert CfgConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"rules": {"all": 3}}, 'rules: a grammar in the published form is a JSON object with a list "all"'),
        ({"grammar": "cfg9"}, "no published grammar is called 'cfg9'"),
        ({"grammar": "cfg3b", "rules": [[[[0]]]]}, "leave one of grammar and rules out"),
        ({"grammar": "cfg3b", "sizes": [1, 2, 2]}, "sizes: only random grammars have it"),
        ({"rules": [[[[0]]]], "distinct_rules": False}, "distinct_rules: only random grammars have it"),
        ({"rules": []}, "exactly one symbol at level 1"),
        ({"rules": [[]]}, "exactly one symbol at level 1"),
        ({"rules": [[[]]]}, "level 1, symbol 0: a symbol above the last level needs"),
        ({"rules": [[[[]]]]}, "level 1, symbol 0: a rule must have"),
        ({"rules": [[[[-1, 1]]]]}, "the rule [-1, 1] must name symbols 0 to 1 of level 2"),
        ({"sizes": [2, 3]}, "sizes: must be 1 for the root"),
        ({"sizes": [1, 0]}, "sizes: must be 1 for the root"),
        ({"sizes": [1]}, "at least 2 items"),
        ({"degree": [3, 2]}, "degree: must be two numbers from 1 to 50"),
        ({"length": [0, 2]}, "length: must be two numbers from 1 to 50"),
        ({"degree": [20, 30]}, "may need 90 different rules, but only 36"),
        ({"distinct_symbols": True, "length": [2, 4]}, "4 distinct symbols"),
        ({"length": [3, 50]}, "at most 100000 are handled"),
        ({"rules": [[[[0] * 400]], [[[0]], [[1] * 400]]], "perturbation": "symbols"}, "160000 tokens; at most 100000"),
        ({"implicit": "disjoint", "implicit_tokens": 2}, "2 tokens are too few"),
        ({"spelling": [[[1, 1]]]}, "spelling: can be given only with rules"),
        ({"perturbed": 1.5}, "less than or equal to 1"),
        ({"cut": -1}, "greater than or equal to 0"),
        ({"depth": 7}, "Extra inputs are not permitted"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        CfgConfig.model_validate(knobs)


@pytest.mark.parametrize("axis", small().axes, ids=lambda axis: axis.knob)
def test_harder_values_are_longer(axis: module.Axis) -> None:
    assert axis.knob in CfgConfig.model_fields
    if axis.harder is not None:
        easy, hard = (small(**{axis.knob: value}) for value in axis.harder)
        lengths = [task.sample(Stream(), np.arange(100)).lengths.mean() for task in (easy, hard)]
        assert lengths[0] < lengths[1]
        assert easy.max_length < hard.max_length


def test_the_example_of_the_docstring_is_true() -> None:
    task = small(sizes=(1, 2, 2, 3), degree=(2, 2), length=(2, 3), seed=0)
    assert module.__doc__ is not None
    instances = task.sample(Stream(), np.arange(1))
    shown = dict(re.findall(r"^ {4}(\w+) +((?:<s>|-?\d)(?: +-?\d)+)", module.__doc__, re.MULTILINE))
    assert task.parse(shown["text"]).tolist() == instances.tokens.tolist()
    assert shown["loss"].split() == ["1"] * len(instances.tokens)
    for name in ("symbol_2", "symbol_3", "index_3", "boundary_3"):
        assert shown[name].split() == [str(x) for x in instances.labels[name].tolist()]
    for depth, symbols in enumerate(task.grammar.rules):
        line = next(line for line in module.__doc__.splitlines() if f"level {depth + 1}" in line)
        rules = [
            f"{symbol} → " + " | ".join(" ".join(map(str, rule)) for rule in own) for symbol, own in enumerate(symbols)
        ]
        assert " ".join(line.split()).startswith(f"level {depth + 1} " + " ".join(rules))
    assert task.text(instances.tokens) == " ".join(shown["text"].split())
