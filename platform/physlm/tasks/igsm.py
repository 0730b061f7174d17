"""iGSM: grade-school problems whose every step of reasoning can be checked (Part 2.1; with retries, Part 2.2).

Things contain things; numbers of them depend on each other in a random graph; one is asked for. The model must find
out which numbers are necessary, compute them in an order that works, modulo 23 so that arithmetic isn't the difficulty,
and write down every step. A sample of the preset `tiny` with retries ("The number of" is one token, for instance):

    config  max_op=5 max_edges=6 max_depth=3 max_width=3 modulus=7 max_tokens=256 chains=1 names=4 letters=12
    config  retry_rate=0.3 mask_retry=true

    text    <s> The number of each Gullhaven 's Ketch equals  2 more than each Saltmouth 's Ketch  .
    loss      1             1    1         1  1     1      1  1         1    1         1  1     1  1
    part      0             1    1         1  1     1      1  1         1    1         1  1     1  1
    nece     -1            -1   -1        -1 -1    -1     -1 -1        -1   -1        -1 -1    -1  1
    value    -1            -1   -1        -1 -1    -1     -1 -1        -1   -1        -1 -1    -1 -1

    text    The number of each Saltmouth 's Ketch equals  2  . The number of each Gullhaven 's Sloop equals  3  .
    loss                1    1         1  1     1      1  1  1             1    1         1  1     1      1  1  1
    part                1    1         1  1     1      1  1  1             1    1         1  1     1      1  1  1
    nece               -1   -1        -1 -1    -1     -1 -1  1            -1   -1        -1 -1    -1     -1 -1  0
    value              -1   -1        -1 -1    -1     -1 -1 -1            -1   -1        -1 -1    -1     -1 -1 -1

    text    How many Ketch does each Gullhaven have  ? <solution> Define Saltmouth 's Ketch as  h  ; so  h  =  2  .
    loss           1     1    1    1         1    1  1          1      1         1  1     1  1  1  1  1  1  1  1  1
    part           2     2    2    2         2    2  2          0      3         3  3     3  3  3  3  3  3  3  3  3
    nece          -1    -1   -1   -1        -1   -1 -1         -1     -1        -1 -1    -1 -1 -1 -1 -1 -1 -1 -1 -1
    value         -1    -1   -1   -1        -1   -1 -1         -1     -1        -1 -1    -1  2 -1 -1 -1 -1 -1 -1 -1

    text    Define Gullhaven 's Ships as BACK  .
    loss         1         0  0     0  1    1  1
    part         4         4  4     4  4    4  4
    nece        -1        -1 -1    -1 -1   -1 -1
    value       -1        -1 -1    -1 -1   -1 -1

    text    Define Gullhaven 's Ketch as  i  ; so  i  =  2  +  h  =  2  +  2  =  4  . <answer>  4
    loss         1         1  1     1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1  1        1  1
    part         3         3  3     3  3  3  3  3  3  3  3  3  3  3  3  3  3  3  3  3        5  5
    nece        -1        -1 -1    -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1       -1 -1
    value       -1        -1 -1    -1  4 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1       -1 -1

Draws: op, the number of operations of the solution, is the smaller of two uniform integers of 1 to max_op (the
released generator's 'light'), or exact. Given op everything else is drawn as `physlm.igsm.structure` and `.dependency`
say, again and again, op unchanged, until (a) the solution has exactly op operations, (b) its template lies in the
split, (c) the instance has at most max_tokens tokens. Names, wording and (c) aside, that is the distribution of the
released generator, which draws and rejects many more: all problems that are meant to be smaller than op.

Split: the template is the solution without names, numbers and choice of letters, hashed to 23 bins; the first
`train_bins` are for training and validation, the others for tests, so no test problem has a template of theirs.
Templates of 1 or 2 operations are so few that all are for training: a test stream's op is at least 3. The paper has 17
bins for training, the released code 16; its hash is another, so the bins aren't the same templates.

Retries (Part 2.2): before each sentence of a solution, with probability retry_rate and then again, a wrong parameter
is named and taken back: "Define Ruby's ... as BACK."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.errors import UserError
from physlm.igsm import checker, lexicon, probing, rendering, structure
from physlm.igsm.bank import CATEGORIES, NAMES_EACH
from physlm.igsm.dependency import FEW_OPERATIONS, HASH_BINS
from physlm.igsm.lexicon import LETTERS, Lexicon
from physlm.igsm.probing import ProbeLabels
from physlm.igsm.structure import MAX_PARAMETERS, Knobs
from physlm.tasks.answers import Prompts, readable
from physlm.tasks.capabilities import (
    ChecksSteps,
    Counterfactuals,
    HasCounterfactuals,
    HasProbeQuestions,
    Probed,
    Questions,
    StepMarks,
    Verdict,
)
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register

_PAIRS_APART, _DRAWN_AGAIN = 1 << 40, 100  # places in a stream; times

_RETRY_KINDS = {
    "cannot_next": rendering.CANNOT_NEXT,
    "later_step": rendering.LATER_STEP,
    "any_parameter": rendering.ANY_PARAMETER,
}


class IgsmConfig(TaskConfig):
    """Knobs of iGSM; the defaults are iGSM-med, problem first."""

    type: Literal["igsm"] = "igsm"
    max_op: int = Field(15, ge=3, le=len(LETTERS), description="most operations of a solution where op isn't exact")
    op: int | None = Field(None, ge=1, le=len(LETTERS), description="exact operations of a solution; none: 1 to max_op")
    max_edges: int = Field(20, ge=2, le=MAX_PARAMETERS, description="most instance parameters (ip of the paper)")
    max_depth: int = Field(4, ge=2, le=4, description="most layers of things")
    max_width: int = Field(4, ge=2, le=4, description="most things in a layer")
    modulus: int = Field(23, ge=2, le=1000, description="numbers are integers modulo this")
    order: Literal["pq", "qp"] = Field("pq", description="problem then question, or question then problem")
    perm_level: int = Field(
        5, ge=0, le=6, description="order of the problem's sentences: 0-4 locally shuffled, 5 shuffled, 6 as solved"
    )
    reask: bool = Field(False, description="ask for another, random parameter once the problem is made")
    retry_rate: float = Field(0.0, ge=0, lt=1, description="q, probability of a (further) retry before a sentence")
    retry_kind: Literal["cannot_next", "later_step", "any_parameter"] = Field(
        "cannot_next",
        description="wrong parameter of a retry: one that can't be computed next (retry), one of a later sentence "
        "(retry weak), or any but the right one (retry miss)",
    )
    mask_retry: bool = Field(False, description="don't train on the wrong parameter's name in a retry")
    mask_problem: bool = Field(False, description="train on solutions alone, not on problems and questions")
    train_bins: int = Field(17, ge=1, lt=HASH_BINS, description=f"template bins for training, of {HASH_BINS}")
    max_tokens: int = Field(768, ge=64, le=65536, description="longer instances are drawn again")
    chains: int = Field(len(CATEGORIES), ge=1, le=len(CATEGORIES), description="chains of categories in the item bank")
    names: int = Field(NAMES_EACH, ge=4, le=NAMES_EACH, description="names in each category; above 20, of two tokens")
    letters: int = Field(len(LETTERS), ge=3, le=len(LETTERS), description="letters for results: one for each operation")

    @model_validator(mode="after")
    def _possible(self) -> IgsmConfig:
        if self.max_edges < (self.max_depth - 1) * self.max_width:
            raise ValueError(
                f"max_edges: {self.max_depth} layers of {self.max_width} things need at least "
                f"{(self.max_depth - 1) * self.max_width} edges, got {self.max_edges}"
            )
        if self.max_parameters > MAX_PARAMETERS:
            raise ValueError(
                f"max_edges: at most {self.max_edges - self.max_parameters + MAX_PARAMETERS} with max_depth "
                f"{self.max_depth} and max_width {self.max_width}, got {self.max_edges}"
            )
        if self.letters < (self.op or self.max_op):
            raise ValueError(
                f"letters: a solution of {self.op or self.max_op} operations needs as many letters, got {self.letters}"
            )
        return self

    @property
    def max_parameters(self) -> int:
        """Upper bound on the parameters of a problem, instance and abstract."""
        return self.max_edges + self.max_width * self.max_depth * (self.max_depth - 1) // 2


_HARD = {"max_op": 21, "max_edges": 28, "max_tokens": 1024}
_TINY = {
    "max_op": 5,
    "max_edges": 6,
    "max_depth": 3,
    "max_width": 3,
    "modulus": 7,
    "max_tokens": 256,
    "chains": 1,
    "names": 4,
    "letters": 12,
}


@register
class Igsm(ChecksSteps[IgsmConfig], Probed[IgsmConfig], HasProbeQuestions[IgsmConfig], HasCounterfactuals[IgsmConfig]):
    """Synthetic grade-school mathematics; a completion is a whole solution and its answer."""

    config_type = IgsmConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": _TINY,
        "tiny_qp": {**_TINY, "order": "qp"},
        "med": {},
        "med_pq": {},
        "med_qp": {"order": "qp"},
        "hard": _HARD,
        "hard_pq": _HARD,
        "hard_qp": {**_HARD, "order": "qp"},
    }

    @cached_property
    def _lexicon(self) -> Lexicon:
        c = self.config
        return Lexicon(c.modulus, c.letters, c.chains, c.names)

    @property
    def vocabulary(self) -> Sequence[str]:
        """Words, letters, numbers and names; see `physlm.igsm.lexicon`."""
        return self._lexicon.tokens

    @property
    def separator(self) -> int:
        return lexicon.SEPARATOR

    @property
    def used_tokens(self) -> int:
        """All but BACK where there are no retries."""
        return len(self.vocabulary) - (self.config.retry_rate == 0)

    @property
    def max_length(self) -> int:
        return self.config.max_tokens

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("max_op", "difficulty", "operations of the longest solutions", (5, 15)),
            Axis("op", "difficulty", "operations of every solution", (5, 15)),
            Axis("max_edges", "difficulty", "numbers that the problem states", (12, 24)),
            Axis("reask", "type", "ask for something else than the problem was made for"),
            Axis("modulus", "type", "arithmetic modulo this"),
            Axis("retry_rate", "type", "mistakes that are taken back", (0.0, 0.5)),
            Axis("retry_kind", "type", "how plausible the mistakes are"),
            Axis("order", "format", "question after or before the problem"),
            Axis("mask_problem", "format", "whether problems themselves are learnt"),
            Axis("perm_level", "format", "how much the problem's sentences are shuffled"),
            Axis("names", "format", "names in each category"),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The longest solutions that are trained on, longer ones, and `reask`: always without retries.

        Longer is 4/3 to 14/9 of max_op: 20 to 23 operations for 15 (med), 28 to 32 for 21 (hard), as in the papers.
        """
        c = self.config
        plain = {"retry_rate": 0.0} if c.retry_rate else {}
        longer = range(-(-4 * c.max_op // 3), 14 * c.max_op // 9 + 1)
        exact = {f"op_{op}": {"op": op, "reask": False, **plain} for op in (c.max_op, *longer) if op <= c.letters}
        return {**exact, "reask": {"op": None, "reask": True, **plain}}

    def _knobs(self, stream: Stream) -> Knobs:
        c = self.config
        test = stream.split == "test"
        if test and c.op is not None and c.op <= FEW_OPERATIONS and not c.reask:
            raise UserError(
                f"igsm: op {c.op} has too few templates to hold any out for a test; ask for op {FEW_OPERATIONS + 1} up"
            )
        return Knobs(
            modulus=c.modulus,
            max_op=c.max_op,
            op=c.op or 0,
            min_op=FEW_OPERATIONS + 1 if test and not c.reask else 1,
            max_edges=c.max_edges,
            max_depth=c.max_depth,
            max_width=c.max_width,
            perm_level=c.perm_level,
            question_first=c.order == "qp",
            reask=c.reask,
            retry_rate=c.retry_rate,
            retry_kind=_RETRY_KINDS[c.retry_kind],
            mask_retry=c.mask_retry,
            first_bin=c.train_bins if test else 0,
            end_bin=HASH_BINS if test else c.train_bins,
            max_tokens=c.max_tokens,
            letters=c.letters,
        )

    def _draws(
        self, stream: Stream, indices: NDArray[np.int64]
    ) -> tuple[np.uint64, NDArray[np.int64], Knobs, lexicon.Words]:
        """What identifies instances to the generator: key, indices, knobs, words."""
        key = np.uint64(stream.key("igsm", self.config.seed))
        return key, np.ascontiguousarray(indices, np.int64), self._knobs(stream), self._lexicon.words

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Problems with their solutions; truth is the prompt, all that a checker needs.

        Labels: `part` of every token: 0 mark, 1 problem, 2 question, 3 solution, 4 retry, 5 answer; `nece` at the end
        of each problem sentence: the number it states is necessary; `value` at the word "as" of each solution
        sentence: the number that is about to be computed. Raises UserError if the knobs leave no problem to draw.
        """
        rows, offsets, prompts = rendering.write_batch(*self._draws(stream, indices), structure.blank())
        self._all_drawn(stream, offsets[-1] > 0 or not len(indices))
        tokens, loss = np.ascontiguousarray(rows[rendering.TOKEN]), rows[rendering.LOSS] > 0
        if self.config.mask_problem:
            loss &= ~np.isin(rows[rendering.PART], (rendering.PROBLEM, rendering.QUESTION))
        return Instances(
            tokens=tokens,
            offsets=offsets,
            loss=loss,
            labels={
                "part": np.ascontiguousarray(rows[rendering.PART]),
                "nece": np.ascontiguousarray(rows[rendering.NECE]),
                "value": np.ascontiguousarray(rows[rendering.VALUE]),
            },
            truth=Prompts(tokens, offsets[:-1], offsets[:-1] + prompts),
        )

    def _all_drawn(self, stream: Stream, drawn: bool) -> None:
        if not drawn:
            c = self.config
            op = c.op if c.op is not None else f"up to {c.max_op}"
            raise UserError(
                f"igsm: found no problem of op {op} for the {stream.split} split with at most {c.max_edges} edges and "
                f"{c.max_tokens} tokens; lower op, or raise max_edges or max_tokens"
            )

    def probe_labels(self, stream: Stream, indices: NDArray[np.int64]) -> ProbeLabels:
        """Truth for V-probes of the instances at these positions: the same ones that `sample` gives there."""
        c = self.config
        labels = probing.probe_labels(*self._draws(stream, indices), c.max_parameters, self._lexicon.name_length)
        self._all_drawn(stream, bool((labels.problem_end >= 0).all()))
        return labels

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"part": 6, "nece": 2, "value": self.config.modulus}

    @property
    def question_targets(self) -> Mapping[str, int]:
        """What V-probes ask for (Part 2.1); the last class of `value` is "not known yet"."""
        yes_or_no = dict.fromkeys(("nece", "dep", "known", "can_next", "nece_next"), 2)
        return {**yes_or_no, "value": self.config.modulus + 1}

    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        """About each parameter (of `dep`: each pair of them), where `ProbeLabels` says that it is asked."""
        labels = self.probe_labels(stream, indices)
        answers = getattr(labels, target)
        instance, *where = np.nonzero(answers >= 0)
        match target:
            case "nece":
                end, parameters = np.maximum(labels.question_end, labels.problem_end)[instance], where
            case "dep":
                end, parameters = labels.problem_end[instance], where
            case _:
                end, parameters = labels.step_end[instance, where[0]], where[1:]
        names = np.concatenate([labels.name[instance, parameter] for parameter in parameters], axis=1)
        offsets = np.concatenate([[0], np.cumsum((names >= 0).sum(1))])
        answer = answers[(instance, *where)].astype(np.int32)
        distance = labels.distance[(instance, *where)].astype(np.int32) if target == "nece" else None
        return Questions(instance, end + 1, names[names >= 0], offsets, answer, distance)

    def counterfactuals(self, stream: Stream, indices: NDArray[np.int64]) -> Counterfactuals:
        """Problems and their solutions up to a number that the problem states, and the same with another one there.

            ... The number of each Saltmouth's Ketch equals 2 ... <solution> ... Define Saltmouth's Ketch as h; so h =
                                                            5

        The number is the carrier. It is a parameter's whole value and is written here for the first time, so that
        nothing before depends on it. Where a solution has several such places, any of them; where it has none (its
        numbers are all computed, or of things that have no parts), another problem takes its place.
        """
        c, number = self.config, self._lexicon.words.number
        draws = randomness.words(stream.key("igsm", "pairs", c.seed), indices, 2).astype(np.int64)
        texts: list[NDArray[np.int32]] = [np.empty(0, np.int32)] * len(indices)
        stated, written = np.zeros((2, len(indices)), np.int64)
        rows = np.arange(len(indices))
        for attempt in range(_DRAWN_AGAIN):
            drawn, left = self.sample(stream, indices[rows] + attempt * _PAIRS_APART), []
            for i, row in enumerate(rows.tolist()):
                places = self._given(drawn[i])
                if not places:
                    left.append(row)
                    continue
                stated[row], written[row] = places[draws[row, 0] % len(places)]
                texts[row] = drawn[i]
            rows = np.array(left, np.int64)
            if not len(rows):
                break
        else:
            raise UserError("igsm: found no problem whose solution writes down a number that is stated; lower op")
        place = np.arange(int(written.max(initial=0)))
        clean = np.full((len(indices), len(place)), self.separator, np.int32)
        for own, text, length in zip(clean, texts, written.tolist(), strict=True):
            own[:length] = text[:length]
        answer = np.array([text[end] for text, end in zip(texts, written, strict=True)], np.int32)
        other = number + (answer - number + 1 + draws[:, 1] % (c.modulus - 1)) % c.modulus
        carrier = place == stated[:, None]
        changed = np.where(carrier, other[:, None], clean)
        return Counterfactuals(clean, changed.astype(np.int32), answer, other.astype(np.int32), written, carrier)

    def _given(self, text: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Where a problem states a parameter's value, and where its solution writes it down: all such places."""
        number, tokens = self._lexicon.words.number, text.tolist()
        stated: dict[tuple[int, ...], int] = {}
        found = []
        name = 0  # where a parameter's begins
        for i, token in enumerate(tokens):
            if token in (lexicon.NUMBER_OF, lexicon.DEFINE):
                name = i + 1 + (token == lexicon.NUMBER_OF)  # "each"
            elif token == lexicon.STOP and number <= tokens[i - 1] < number + self.config.modulus:
                if tokens[i - 2] == lexicon.EQUALS:
                    stated[tuple(tokens[name : i - 2])] = i - 1
                elif tokens[i - 4] == lexicon.SO and tokens[i - 7] == lexicon.AS:  # "as h ; so h = 2 ."
                    parameter = tuple(tokens[name : i - 7])
                    if parameter in stated:
                        found.append((stated[parameter], i - 1))
        return found

    @cached_property
    def chance(self) -> float:
        """Share of test problems with the most frequent answer (0 has more than 1/modulus), from 8192 of them.

        No completion that ignores the question is right more often: a right one states the answer.
        """
        instances = self.sample(Stream("test", 0), np.arange(8192, dtype=np.int64))
        answers = instances.tokens[instances.offsets[1:] - 1]
        return float(np.bincount(answers).max() / len(answers))

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """Instance i up to and with <solution>."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    @property
    def step_marks(self) -> StepMarks:
        """Define ... as ... .  or  Define ... as BACK ."""
        return StepMarks(lexicon.DEFINE, lexicon.AS, lexicon.BACK, lexicon.STOP)

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Check a whole solution, every step; see `physlm.igsm.checker` for what is right.

        truth: the prompt's tokens; raises UserError if they are no problem. Counts: `sentences` and `operations` of the
        solution, `unnecessary_parameters` and `unnecessary_operations` among them, `retries`; for a wrong solution up
        to the first wrong sentence, with `first_wrong`, its number from 1, retries included, and
        `first_wrong_can_next`, whether its parameter could be computed at that point.
        """
        problem = checker.read_problem(self._lexicon, readable(truth).tolist())
        finding = checker.check(problem, readable(completion).tolist())
        return Verdict(finding.correct, finding.reason, finding.counts)

    def text(self, tokens: NDArray[np.int32]) -> str:
        """Tokens as English."""
        return self._lexicon.text(np.asarray(tokens).tolist())

    def parse(self, text: str) -> NDArray[np.int32]:
        """Tokens of such a text; -1 stands for words that are no tokens."""
        return np.array(self._lexicon.parse(text), np.int32)
