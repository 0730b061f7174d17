"""Retry upon regret: the oracle is the truth, what is refused is taken back, and without a judge nothing is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from physlm.igsm import lexicon
from physlm.measures.measure import Member
from physlm.models.decoder import Decoder, initialise
from physlm.models.generation import Prompt, generate
from physlm.models.gpt2 import Gpt2Config
from physlm.probes import make
from physlm.probes.regret import Regret, RegretConfig, _forensics, _Paper, _Papers, _possible, _solve
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

TASK = Igsm(IgsmConfig.model_validate(Igsm.presets["tiny"]))
MEMBER = Member(TASK, 2, TASK.max_length, 1)
CONFIG = RegretConfig(instances=30, problems=12)


@pytest.mark.slow
def test_the_oracle_says_what_the_labels_say_at_every_step() -> None:
    papers = _Papers(TASK, MEMBER, CONFIG)
    labels = TASK.probe_labels(Stream("test", MEMBER.seed), np.arange(30, 42))
    asked = 0
    for paper in papers.blank():
        i = paper.number
        for step, end in enumerate(labels.step_end[i][labels.step_end[i] >= 0]):
            paper.written = papers.instances[i][len(papers.prompts[i]) : end + 1].tolist()
            for p in np.flatnonzero(labels.can_next[i, step] >= 0):
                name = labels.name[i, p][labels.name[i, p] >= 0].tolist()
                if TASK.text(np.array(name)) not in TASK.text(papers.prompts[i].astype(np.int32)):
                    continue  # a sum over nothing, which no one asks for
                assert _possible(papers, paper, name) == bool(labels.can_next[i, step, p]), (i, step, name)
                asked += 1
    assert asked > 100


def test_without_a_judge_the_likeliest_text_is_written_as_in_one_go() -> None:
    decoder = Decoder(Gpt2Config(layers=1, heads=1, width=16), len(TASK.vocabulary), 1)
    initialise(decoder, [0])
    papers = _Papers(TASK, MEMBER, RegretConfig(instances=30, problems=10))
    states = papers.blank()
    _solve(decoder, [papers], [states], None, 10)
    room = TASK.max_length + 1
    prompts = [Prompt(t, (TASK.separator,), room - len(t), i) for i, t in enumerate(papers.prompts)]
    (expected,) = generate(decoder, [prompts])
    for paper, written in zip(states, expected, strict=True):
        tokens = written.tokens.tolist()
        assert paper.written == (tokens[:-1] if tokens[-1] == TASK.separator else tokens)
        assert paper.retries == 0


def chain(words: list[int]) -> Decoder:
    """A model that writes these tokens, each after the one before it, whatever it has read earlier."""
    config = Gpt2Config(layers=1, heads=1, width=128, mlp="none", tied=False)
    made = Decoder(config, len(TASK.vocabulary), 1)
    initialise(made, [0])
    with torch.no_grad():
        made.blocks[0].attention.out.weight.zero_()
        made.embedding[0] = torch.eye(128)[: len(TASK.vocabulary)]
        made.unembedding.zero_()
        for before, after in pairwise(words):
            made.unembedding[0, after, before] = 20.0
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("retries", [0, 3])
def test_what_is_refused_is_taken_back_until_the_retries_are_used_up(retries: int) -> None:
    papers = _Papers(TASK, MEMBER, CONFIG)
    name = TASK.probe_labels(Stream("test", MEMBER.seed), np.arange(30, 31)).name[0, 0]
    name = name[name >= 0].tolist()
    sentence = [lexicon.DEFINE, *name, lexicon.AS, lexicon.STOP]
    model = chain([lexicon.SOLUTION, *sentence, lexicon.ANSWER, TASK.separator])
    seen: list[list[int]] = []

    def refuse(papers: object, named: list[list[tuple[_Paper, list[int]]]]) -> list[list[bool]]:
        seen.extend(n for _, n in named[0])
        return [[False] * len(named[0])]

    states = papers.blank()
    _solve(model, [papers], [states], refuse, retries)  # type: ignore[arg-type]
    for paper in states:
        assert paper.written == [*sentence, lexicon.ANSWER]
        assert paper.retries == retries
    assert seen == [name] * (len(states) * (retries + 1))


def test_forensics_look_at_first_mistakes_that_came_too_early_and_at_right_sentences_before() -> None:
    """A detector that knows the truth knows of all of these, and raises no false alarm."""
    papers = _Papers(TASK, MEMBER, RegretConfig(instances=30, problems=60))
    states = papers.blank()
    for paper in states:  # the second sentence last
        right = TASK.completion(papers.instances, paper.number).tolist()
        first, second = (np.flatnonzero(np.array(right) == lexicon.STOP)[:2] + 1).tolist()
        paper.written = [*right[:first], *right[second:-2], *right[first:second], *right[-2:]]

    class Truth:
        def of(self, member: int, questions: list[tuple[np.ndarray, list[int]]]) -> np.ndarray:  # type: ignore[type-arg]
            answers = []
            for text, name in questions:
                (i,) = (i for i, p in enumerate(papers.prompts) if np.array_equal(text[: len(p)], p))
                paper = _Paper(i, text[len(papers.prompts[i]) :].tolist())
                answers.append(_possible(papers, paper, name))
            return np.array(answers)

    rows = {o.measure: o for o in _forensics(0, papers, states, {0: Truth(), 1: Truth()})}  # type: ignore[dict-item]
    assert rows["regret.knew"].value == 1.0
    assert (rows["regret.knew"].n or 0) > 10
    assert rows["regret.false_alarm"].value == 0.0
    assert (rows["regret.false_alarm"].n or 0) >= 60


@pytest.mark.slow
def test_it_runs_from_models_to_observations_with_a_detector_at_chance_on_blind_models() -> None:
    decoder = Decoder(Gpt2Config(layers=1, heads=1, width=8), len(TASK.vocabulary), 2)
    initialise(decoder, [0, 0])
    with torch.no_grad():
        decoder.embedding.zero_()
    probe = make("regret", {"steps": 5, "instances": 60, "questions": 60, "problems": 10, "retries": 1})
    (rows,) = probe.evaluate(decoder.eval().requires_grad_(False), [MEMBER])
    found = {o.measure: o for o in rows}
    detector = found["regret.detector"]
    assert detector.chance is not None
    assert abs((detector.value or 0) - detector.chance) < 4 * (detector.stderr or 0) + 0.05
    assert {f"regret.accuracy.{name}" for name in ("none", "probe", "oracle")} <= set(found)
    assert found["regret.accuracy.oracle"].value == 0.0
    assert Regret.unsupported_reason(TASK) is None
