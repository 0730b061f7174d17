"""Whether a model knew of its mistakes, and what it would be worth to act on it (Part 2.2, section 3).

A V-probe for can_next is trained on the frozen model. At first wrong sentences that compute what can't be computed yet
it is asked about the parameter that the model has just named. Then the model writes solutions again, and whenever the
probe says no, the name is taken back and drawn anew: retry upon regret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from physlm import randomness, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import BeforeAndAfter
from physlm.measures.measure import Member
from physlm.models.model import ModelConfig
from physlm.probes import scores
from physlm.probes.probe import Probe, part_of, register
from physlm.probes.samples import asked
from physlm.probes.updates import QuestionConfig
from physlm.tasks.capabilities import ChecksSteps, StepMarks, require, supports
from physlm.tasks.task import Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder
    from physlm.models.generation import Prompt
    from physlm.probes.fitting.updated import Updated

TARGET = "can_next"
_MAX_QUESTIONS = 128  # of a member that are asked at once
_JUDGES = {
    "none": "without retries",
    "probe": "with retries where the probe says that what is named can't be computed",
    "oracle": "with retries where what is named can't be computed in truth",
}
"""Who says when to retry, and how that is told."""
_TRUE, _SHUFFLED = 0, 1  # variants of the labels that detectors are trained with


class RegretConfig(QuestionConfig):
    """Knobs of the detector, and of what is done with it."""

    problems: int = Field(200, ge=10, le=1_000_000, description="that are solved, none of which the probe has seen")
    retries: int = Field(10, ge=0, le=1000, description="most retries of one problem")


@register
class Regret(Probe):
    """Of solutions of fresh problems of the test stream:

    regret.detector            share of unseen questions for can_next that the probe answers right; chance is the
                               majority class
    regret.knew                share of first wrong sentences whose parameter couldn't be computed yet where the probe
                               says so; `....shuffled`: of a probe trained on shuffled labels
    regret.false_alarm         share of the right sentences before where it says so too: what to compare this with
    regret.accuracy.none       share of problems solved without retries, always with the likeliest token
    regret.accuracy.probe      with at most 10 retries, when the probe says that what is named can't be computed
    regret.accuracy.oracle     the same with the truth in the place of the probe: what could be gained at most
    regret.retries.<detector>  mean number of retries of a problem

    A retry draws the name anew at temperature 1; the rest of the sentence is always the likeliest.
    """

    name = "regret"
    config_type = RegretConfig

    @classmethod
    def targets(cls, task: Task[Any]) -> dict[str, int]:
        return {TARGET: 2} if supports(task, ChecksSteps) else {}

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        return None if cls.targets(task) else f"{task.name} has no solutions whose steps are checked one by one"

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        detector = Emission(
            "regret.detector",
            "1",
            "share of unseen questions for can_next that the probe answers right",
            better="higher",
            chance="always the class that is most frequent in training",
            floor="no answer right",
            ceiling="every answer right",
            drawing=BeforeAndAfter(),
        )
        plain = replace(detector, better=None, chance=None, floor="never", ceiling="always")
        found = [detector]
        for variant, meaning in (("", "the probe"), (".shuffled", "a probe trained on shuffled labels")):
            says = f"where {meaning} says that the parameter can't be computed yet"
            found += [
                replace(plain, name=f"regret.knew{variant}", meaning=f"share of first wrong sentences {says}"),
                replace(plain, name=f"regret.false_alarm{variant}", meaning=f"share of right sentences before {says}"),
            ]
        for judge, meaning in _JUDGES.items():
            found += [
                replace(
                    detector,
                    name=f"regret.accuracy.{judge}",
                    meaning=f"share of problems solved {meaning}",
                    chance=None
                    if task is not None and supports(task, ChecksSteps) and task.chance is None
                    else "the best answer for every problem",
                    chance_is_exact=False,
                    floor="no problem solved",
                    ceiling="every problem solved",
                ),
                replace(
                    plain,
                    name=f"regret.retries.{judge}",
                    unit="count",
                    meaning=f"mean retries of a problem {meaning}",
                    floor="no retry",
                    ceiling=None,
                ),
            ]
        return found

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        from physlm.probes.fitting.states import chosen
        from physlm.probes.fitting.updated import Problem, Updated

        config = self.config
        assert isinstance(config, RegretConfig)
        texts = asked(members, {TARGET: 2}, True, config.instances, config.questions)
        seeds = [m.seed for m in members]
        found: list[list[Observation]] = []
        detectors = {}
        for variant in (_TRUE, _SHUFFLED):
            problems = [Problem(m, m, variant) for m in range(len(members))]
            progress = part_of(self.progress, variant / 3, 1 / 3)  # the last third is left to solve problems
            detectors[variant] = Updated(decoder, texts, problems, config, "none", seeds).train(progress)
        right = detectors[_TRUE].hits().cpu().numpy()[:, 0, :, 0]  # [M, q]
        for m in range(len(members)):
            labels, test = texts.labels[m, 0, 0, :, 0], texts.test[m]
            where = test & (labels >= 0)
            mean, error, n = standard_errors.clustered_means(right[m, where].astype(float), texts.cluster[m][where])
            chance = scores.majority(labels, test)
            found.append(
                [Observation("regret.detector", float(mean), "1", float(error), n, chance, floor=0.0, ceiling=1.0)]
            )

        own = chosen(decoder, range(len(members)))
        papers = [_Papers(m.task, m, config) for m in members]
        says = {variant: _Asker(detector) for variant, detector in detectors.items()}
        results: dict[str, list[list[_Paper]]] = {}
        for name, judge in (("none", None), ("probe", says[_TRUE]), ("oracle", _oracle)):
            results[name] = [paper.blank() for paper in papers]
            _solve(own, papers, results[name], judge, config.retries)
        for m, paper in enumerate(papers):
            found[m] += _forensics(m, paper, results["none"][m], says)
            found[m] += [row for name, own_ in results.items() for row in _outcome(name, paper, own_[m])]
        return found


@dataclass
class _Paper:
    """What is written of one problem so far: the solution's tokens, without what was taken back."""

    number: int
    written: list[int] = field(default_factory=list)
    retries: int = 0
    naming: bool = True  # else in the middle of a sentence
    again: bool = False  # the name is to be drawn
    done: bool = False


class _Papers:
    """The problems of a member, and what is true of them."""

    def __init__(self, task: Task[Any], member: Member, config: RegretConfig) -> None:
        self.task, self.member, self.marks = require(task, ChecksSteps), member, require(task, ChecksSteps).step_marks
        indices = np.arange(config.instances, config.instances + config.problems, dtype=np.int64)
        self.instances = task.sample(Stream("test", member.seed), indices)
        self.prompts = [self.task.prompt(self.instances, i).astype(np.int64) for i in range(config.problems)]

    def blank(self) -> list[_Paper]:
        return [_Paper(i) for i in range(len(self.prompts))]

    def text(self, paper: _Paper) -> NDArray[np.int64]:
        return np.concatenate([self.prompts[paper.number], np.array(paper.written, np.int64)])

    def counts(self, paper: _Paper, more: Sequence[int] = ()) -> tuple[bool, Any]:
        """Whether the solution with these tokens behind it is right, and what the checker counts of it."""
        completion = np.array([*paper.written, *more], np.int32)
        verdict = self.task.verify(self.instances.truth[paper.number], completion)
        return verdict.correct, verdict.counts


Judge = Callable[[Sequence["_Papers"], Sequence[Sequence[tuple[_Paper, list[int]]]]], list[list[bool]]]
"""Papers of each member with the names that are written next -> whether each may be computed."""


class _Asker:
    """A probe that is asked whether what is named can be computed next."""

    def __init__(self, detector: Updated) -> None:
        self.detector = detector

    def __call__(
        self, papers: Sequence[_Papers], named: Sequence[Sequence[tuple[_Paper, list[int]]]]
    ) -> list[list[bool]]:
        return self.ask([[(own.text(p), name) for p, name in some] for own, some in zip(papers, named, strict=True)])

    def of(self, member: int, questions: list[tuple[NDArray[np.int64], list[int]]]) -> NDArray[np.bool_]:
        """The answers to questions of one member, bool [n]."""
        others = range(len(self.detector.problems))
        return np.array(self.ask([questions if m == member else [] for m in others])[member], np.bool_)

    def ask(self, questions: Sequence[Sequence[tuple[NDArray[np.int64], list[int]]]]) -> list[list[bool]]:
        """Beginnings of each member with a name."""
        import torch

        mark = self.detector.decoder.vocabulary
        whole = [[np.array([*text, mark, *name, mark + 1]) for text, name in own] for own in questions]
        count = max(map(len, whole), default=0)
        if not count:
            return [[] for _ in whole]
        context = max(len(text) for own in whole for text in own)
        tokens = np.zeros((len(whole), count, context), np.int64)
        places = np.zeros((len(whole), count, 1), np.int64)
        for m, own in enumerate(whole):
            for row, text in enumerate(own):
                tokens[m, row, : len(text)], places[m, row, 0] = text, len(text) - 1
        device = self.detector.device
        parts = []
        for start in range(0, count, _MAX_QUESTIONS):
            some = (torch.from_numpy(x[:, start : start + _MAX_QUESTIONS]).to(device) for x in (tokens, places))
            parts.append(self.detector.logits(*some)[:, 0, :, 0])
        yes = torch.cat(parts, 1).argmax(-1).bool().cpu().tolist()
        return [answers[: len(own)] for answers, own in zip(yes, whole, strict=True)]


def _oracle(papers: Sequence[_Papers], named: Sequence[Sequence[tuple[_Paper, list[int]]]]) -> list[list[bool]]:
    """The truth; of a solution that is wrong already it says nothing against."""
    return [[_possible(own, paper, name) for paper, name in some] for own, some in zip(papers, named, strict=True)]


def _possible(papers: _Papers, paper: _Paper, name: list[int]) -> bool:
    sentences = paper.written.count(papers.marks.end)
    marks = papers.marks
    _, counts = papers.counts(paper, [marks.begin, *name, marks.named, marks.end])
    here = counts.get("first_wrong") == sentences + 1
    return not here or counts.get("first_wrong_can_next", 0.0) == 1.0


def _solve(
    decoder: Decoder, papers: Sequence[_Papers], states: Sequence[list[_Paper]], judge: Judge | None, retries: int
) -> None:
    """Let each member write all its solutions, a piece at a time."""
    from physlm.models.generation import generate

    keys = [randomness.key("regret", own.member.seed) for own in papers]
    while any(not p.done for own in states for p in own):
        pieces: list[list[tuple[_Paper, list[int]]]] = [[] for _ in papers]
        for temperature in (0.0, 1.0):
            now = [[p for p in own if not p.done and p.again == bool(temperature)] for own in states]
            if any(now):
                prompts = [[_prompt(own, p) for p in some] for own, some in zip(papers, now, strict=True)]
                results = generate(decoder, prompts, temperature=temperature, keys=keys)
                for piece, some, result in zip(pieces, now, results, strict=True):
                    piece += [(p, w.tokens.tolist()) for p, w in zip(some, result, strict=True)]
        named = [[(p, t) for p, t in own if _names(p, t, of.marks)] for of, own in zip(papers, pieces, strict=True)]
        if judge is None:
            allowed = [[True] * len(own) for own in named]
        else:
            allowed = judge(papers, [[(p, t[1:-1]) for p, t in own] for own in named])
        refused = {
            id(p)
            for some, answers in zip(named, allowed, strict=True)
            for (p, _), yes in zip(some, answers, strict=True)
            if not yes and p.retries < retries
        }
        for own, written in zip(papers, pieces, strict=True):
            for paper, tokens in written:
                paper.again = id(paper) in refused
                if paper.again:
                    paper.retries += 1
                else:
                    _accept(own, paper, tokens)


def _prompt(papers: _Papers, paper: _Paper) -> Prompt:
    from physlm.models.generation import Prompt

    text = papers.text(paper)
    ends = (papers.marks.end, papers.task.separator)
    stop = (papers.marks.named, *ends) if paper.naming else ends
    return Prompt(text, stop, max(1, papers.task.max_length + 1 - len(text)), 1001 * paper.number + paper.retries)


def _names(paper: _Paper, tokens: list[int], marks: StepMarks) -> bool:
    return paper.naming and len(tokens) > 2 and tokens[0] == marks.begin and tokens[-1] == marks.named


def _accept(papers: _Papers, paper: _Paper, tokens: list[int]) -> None:
    paper.written += tokens
    paper.naming = tokens[-1] == papers.marks.end
    full = len(papers.prompts[paper.number]) + len(paper.written) > papers.task.max_length
    if tokens[-1] == papers.task.separator or full:
        paper.done = True
        if tokens[-1] == papers.task.separator:
            paper.written.pop()


def _forensics(
    member: int, papers: _Papers, solved: Sequence[_Paper], says: dict[int, _Asker]
) -> Iterator[Observation]:
    """At first mistakes and at the right sentences before: what the detectors say."""
    mistakes: list[tuple[NDArray[np.int64], list[int]]] = []
    fine: list[tuple[NDArray[np.int64], list[int]]] = []
    owner: list[int] = []
    for paper in solved:
        _, counts = papers.counts(paper)
        wrong = int(counts.get("first_wrong", 0))
        text = papers.text(paper)
        start = len(papers.prompts[paper.number])
        stops = start + np.flatnonzero(text[start:] == papers.marks.end)
        begins = [start, *(stops + 1).tolist()]
        for number, begin in enumerate(begins[: wrong or len(stops)], 1):
            name = _name(text[begin:], papers.marks)
            if name is None:
                continue
            if number == wrong and counts.get("first_wrong_can_next") == 0.0:
                mistakes.append((text[:begin], name))
            elif number < wrong or not wrong:
                fine.append((text[:begin], name))
                owner.append(paper.number)
    for variant, suffix in ((_TRUE, ""), (_SHUFFLED, ".shuffled")):
        if mistakes:
            yield _share(f"regret.knew{suffix}", ~says[variant].of(member, mistakes), None)
        if fine:
            yield _share(f"regret.false_alarm{suffix}", ~says[variant].of(member, fine), np.array(owner))


def _name(sentence: NDArray[np.int64], marks: StepMarks) -> list[int] | None:
    """The parameter that a sentence is about; of a retry none, since that is taken back at once."""
    ends = np.flatnonzero(sentence == marks.named)
    if not len(ends) or sentence[0] != marks.begin or ends[0] < 2:
        return None
    after = sentence[ends[0] + 1 : ends[0] + 2]
    return None if len(after) and after[0] == marks.taken_back else sentence[1 : ends[0]].tolist()


def _outcome(name: str, papers: _Papers, solved: Sequence[_Paper]) -> Iterator[Observation]:
    right = np.array([papers.counts(paper)[0] for paper in solved])
    yield _share(f"regret.accuracy.{name}", right, None, papers.task.chance)
    retries = np.array([paper.retries for paper in solved], float)
    average, error = standard_errors.mean(retries)
    yield Observation(f"regret.retries.{name}", average, "count", error, len(retries), floor=0.0)


def _share(
    name: str, cases: NDArray[np.bool_], cluster: NDArray[np.int64] | None, chance: float | None = None
) -> Observation:
    value = float(cases.mean())
    return Observation(
        name, value, "1", standard_errors.share(cases, cluster), len(cases), chance, floor=0.0, ceiling=1.0
    )
