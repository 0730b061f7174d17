"""Measures of sentences: exact for a model that is the language itself, and plainly off for others."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from numpy.typing import NDArray

from physlm import grammars, randomness
from physlm.catalog import Observation
from physlm.measures import diversity, kl, registry, validity
from physlm.measures.measure import Member
from physlm.measures.sentences import Sentences, write
from physlm.models import parse
from physlm.models.decoder import Decoder, initialise
from physlm.tasks import Stream
from physlm.tasks.cfg import Cfg, CfgConfig

TASK = Cfg(CfgConfig(seed=1))
MEMBER = Member(TASK, 0, TASK.max_length, 1)
COUNT = 400


def written(count: int = COUNT, *, repeat: int = 1, spoil: float = 0.0) -> Sentences:
    """True sentences, each `repeat` times, a share of them cut short."""
    drawn = grammars.sample(TASK.grammar, randomness.key("test"), np.arange(count) // repeat)
    lengths = np.diff(drawn.trees.offsets)
    kept = np.where(np.arange(count) < spoil * count, 3, lengths)
    tokens = [drawn.tokens[a : a + n] for a, n in zip(drawn.trees.offsets[:-1], kept, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(kept)])
    parsed = grammars.parse(TASK.grammar, drawn.tokens, drawn.trees.offsets)
    return Sentences(TASK.grammar, np.concatenate(tokens), offsets, np.ones(count, np.bool_), parsed.log_probability)


def by_name(rows: list[Observation]) -> dict[str, Observation]:
    return {row.measure: row for row in rows if row.position is None}


def test_true_sentences_are_valid_and_others_not() -> None:
    assert validity.share("validity", written(), 0.0).value == 1
    found = validity.share("validity", written(spoil=0.25), 0.0)
    assert (found.value, found.n) == (0.75, COUNT)
    unended = Sentences(**{**vars(written()), "ended": np.zeros(COUNT, np.bool_)})
    assert not unended.valid.any()
    assert validity.length(written()).value == pytest.approx(SAMPLE.lengths.mean() - 1, rel=0.05)


@pytest.mark.parametrize("cut", [0, 4])
def test_the_chance_of_validity_is_the_share_that_uniform_tokens_reach(cut: int) -> None:
    """Counted over random texts in a language of sentences short enough to be met by chance."""
    task = Cfg(CfgConfig(sizes=(1, 2, 2), degree=(2, 2), length=(2, 3), seed=3))
    count, rng = 100_000, np.random.default_rng(0)
    tokens = rng.integers(0, task.used_tokens, (count, task.max_length))
    begun = task.sample(Stream("test", 1), np.arange(count))
    tokens[:, :cut] = np.stack([begun[i][1 : 1 + cut] for i in range(count)])
    lengths = np.where((tokens == 0).any(1), (tokens == 0).argmax(1), task.max_length)
    assert {task.separator, *task.grammar.used_tokens} == set(range(task.used_tokens))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    texts = tokens[np.arange(task.max_length) < lengths[:, None]].astype(np.int32)
    valid = (lengths < task.max_length) & (grammars.parse(task.grammar, texts, offsets).parses > 0)
    assert validity.chance(task, 0, cut) == pytest.approx(valid.mean(), rel=0.15)


def test_the_languages_own_sentences_have_its_entropy_and_diversity() -> None:
    rows = diversity.observations(MEMBER, written())
    found = by_name(rows)
    entropy = found["sample_entropy"]
    assert entropy.value is not None
    assert entropy.stderr is not None
    assert entropy.ceiling == TASK.floor()
    assert abs(entropy.value - TASK.floor()) < 4 * entropy.stderr
    levels = [row for row in rows if row.measure == "collisions" and row.position is not None]
    assert [row.position for row in levels] == [2, 3, 4]
    for row in levels:
        assert row.value is not None
        assert row.floor is not None
        assert row.stderr is not None
        assert abs(row.value - row.floor) < 5 * row.stderr


def test_repetition_shows_as_collisions() -> None:
    once, often = (by_name(diversity.observations(MEMBER, written(repeat=r)))["collisions"] for r in (1, 20))
    assert once.value == pytest.approx(once.floor, abs=1e-3)
    assert often.value is not None
    assert often.value > 0.9 * 19 / (COUNT - 1)
    assert often.floor is not None
    assert often.floor < often.value / 10


def test_without_valid_sentences_only_the_entropy_is_told() -> None:
    assert list(by_name(diversity.observations(MEMBER, written(spoil=1.0)))) == ["sample_entropy"]


def divergence(log_q: NDArray[np.float64]) -> dict[str, Observation]:
    instances = TASK.sample(Stream("test", 0), np.arange(len(SAMPLE)))
    return by_name(kl.observations(MEMBER, instances, log_q))


SAMPLE = TASK.sample(Stream("test", 0), np.arange(200))
TRUTH = TASK.next_token(SAMPLE.tokens, SAMPLE.offsets)


def test_the_truth_has_no_divergence_and_no_excess_loss() -> None:
    with np.errstate(divide="ignore"):
        found = divergence(np.log(TRUTH))
    assert found["kl"].value == pytest.approx(0, abs=1e-12)
    assert found["excess_loss"].value == pytest.approx(0, abs=1e-12)


def test_divergence_is_the_excess_loss_in_expectation() -> None:
    """E[KL] per sentence is the loss above the entropy, whatever the model."""
    rng = np.random.default_rng(0)
    mixed = 0.8 * TRUTH + 0.2 * rng.dirichlet(np.ones(TRUTH.shape[1]), len(TRUTH))
    found = divergence(np.log(mixed))
    assert found["kl"].value is not None
    assert found["excess_loss"].value is not None
    assert found["excess_loss"].stderr is not None
    assert found["kl"].stderr is not None
    assert found["kl"].stderr < found["excess_loss"].stderr
    assert abs(found["kl"].value - found["excess_loss"].value) < 4 * found["excess_loss"].stderr
    assert found["kl"].value > 20 * found["kl"].stderr


def test_a_uniform_guess_has_the_divergence_of_its_entropy() -> None:
    found = divergence(np.full(TRUTH.shape, -log(TRUTH.shape[1])))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(TRUTH * np.log(TRUTH), 1).mean()
    assert found["kl"].value == pytest.approx(log(TRUTH.shape[1]) - entropy, rel=1e-3)
    assert found["kl"].chance == pytest.approx(found["kl"].value, rel=1e-3)
    assert found["excess_loss"].chance == pytest.approx(found["excess_loss"].value)


def decoder_of(members: int) -> Decoder:
    decoder = Decoder(parse({"type": "gpt2", "layers": 1, "heads": 1, "width": 8}), len(TASK.vocabulary), members)
    initialise(decoder, list(range(members)))
    return decoder.eval()


def test_predictions_are_the_models_after_every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    decoder = decoder_of(2)
    drawn = [TASK.sample(Stream("test", seed), np.arange(7)) for seed in (0, 1)]
    monkeypatch.setattr(kl, "_MAX_TOKENS", 3 * 2 * max(int(i.lengths.max()) for i in drawn))
    for m, (instances, found) in enumerate(zip(drawn, kl.predictions(decoder, drawn, [0, 0]), strict=True)):
        assert found.shape == (len(instances.tokens), len(TASK.vocabulary))
        text = torch.zeros(2, 1, int(instances.lengths[5]), dtype=torch.int64)
        text[m, 0] = torch.from_numpy(instances[5].astype(np.int64))
        with torch.no_grad():
            alone = decoder.logits(decoder(text))[m].log_softmax(-1).numpy()
        rows = slice(*instances.offsets[5:7])
        np.testing.assert_allclose(found[rows], alone, atol=1e-5)


def test_sentences_go_on_from_true_beginnings() -> None:
    members = [Member(TASK, seed, TASK.max_length, 1) for seed in (0, 1)]
    cut = 4
    for m, sentences in zip(members, write(decoder_of(2), members, [cut, cut], 30), strict=True):
        true = TASK.sample(Stream("test", m.seed), np.arange(30))
        for i in range(30):
            start = sentences.offsets[i]
            np.testing.assert_array_equal(sentences.tokens[start : start + cut], true[i][1 : 1 + cut])
        assert (sentences.tokens != TASK.separator).all()
        assert (sentences.ended | (sentences.lengths == TASK.max_length)).all()


@pytest.mark.parametrize("name", ["validity", "diversity", "kl"])
def test_a_model_is_measured_the_same_in_any_company(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry[name], "samples", 40)
    together, alone = decoder_of(2), decoder_of(1)
    for path, parameter in alone.named_parameters():
        parameter.data.copy_(dict(together.named_parameters())[path][1:])
    members = [Member(TASK, seed, TASK.max_length, 1) for seed in (0, 1)]
    measure = registry[name]
    found, expected = measure().evaluate(together, members)[1], measure().evaluate(alone, members[1:])[0]
    assert [row.measure for row in found] == [row.measure for row in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4)


@pytest.mark.parametrize("name", ["validity", "diversity", "kl"])
def test_other_tasks_have_no_grammar(name: str) -> None:
    from physlm.tasks.mano import Mano, ManoConfig

    assert registry[name].unsupported_reason(Mano(ManoConfig())) == "mano has no grammar"
    assert registry[name].unsupported_reason(TASK) is None
