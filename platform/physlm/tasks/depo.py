"""Depo: k steps along a cycle that is only given edge by edge (mental reasoning depth; Part 4.1, appendix A).

The n vertices of a directed cycle have random names; its edges are listed in random order, then t = min(10, n)
different vertices are asked about: who comes k steps later? Nothing may be written down on the way. A sample:

    config     vertices=4 hops=3 queries=2 name_tokens=[1,2] name_symbols=4 seed=11
    text       <s> x2 x4. x3. x1 x4. x1. x3. x1 x4. x1. x2 x4. <query_1> x2 x4. <ans> x3. <query_2> x1. <ans> x3.
    loss         0  0   0   0  0   0   0   0  0   0   0  0   0         0  0   0     0   1         0   0     0   1
    vertex      -1  0   0   1  2   2   3   1  2   2   3  0   0        -1  0   0    -1   1        -1   3    -1   1
    question    -1 -1  -1  -1 -1  -1  -1  -1 -1  -1  -1 -1  -1         0  0   0     0   0         1   1     1   1
    hops        -1 -1  -1  -1 -1  -1  -1  -1 -1  -1  -1 -1  -1         1  1   1     1   1         2   2     2   2
    answer      -1 -1  -1  -1 -1  -1  -1  -1 -1  -1  -1 -1  -1         6  6   6     6   6         6   6     6   6

Draws: n ∝ 1/(√N + n) on 3 to N; k uniform on 1 to K; k may exceed n. Depo1 has names of 1 or 2 tokens (V = 50), Depo2
of 5 to 7 tokens (V = 4; the released code's default is 3). Only the answers' names are trained on. The paper evaluates
at n = N and k = K, K/2: knobs `exact` and `exact_hops`, or `evaluations`. `verify` asks the last question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm.randomness import below, start
from physlm.tasks.answers import TokenBuffer, append, compare
from physlm.tasks.capabilities import Asks, HasEntropy, HasParaphrases, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, register
from physlm.tasks.vertices import GraphConfig, draw_names, put_name, shuffle, size_probabilities, sizes, split_names

SEPARATOR, ANSWER = range(2)
QUERY = 2  # token of <query_1>; those of <query_2>, ... follow, then those of names
LABELS = ("vertex", "question", "hops", "answer")


class DepoConfig(GraphConfig):
    """Knobs of Depo; the letters are the paper's."""

    type: Literal["depo"] = "depo"
    hops: int = Field(4, ge=1, le=10_000, description="K, most steps asked for")
    exact_hops: int | None = Field(None, ge=1, description="steps of every question, for evaluation; else 1 to K")
    queries: int = Field(10, ge=1, le=1000, description="questions about a cycle; fewer where it has fewer vertices")

    @model_validator(mode="after")
    def _hops_have_tokens(self) -> DepoConfig:
        if self.exact_hops is not None and self.exact_hops > self.hops:
            raise ValueError(f"exact_hops: must be at most hops, {self.hops}, got {self.exact_hops}")
        return self


@njit(cache=True)
def _write(key, again, indices, sizes, hops, queries, shortest, longest, symbols, first, buffer):  # type: ignore[no-untyped-def]
    """hops: fewest and most; again: key of another order of the edges, 0 for none. Vertices are numbered in a row."""
    most = max(1, sizes.max()) if len(sizes) else 1
    names = np.empty((most, longest), np.int64)
    lengths, places, edges, asked = np.empty((4, most), np.int64)
    seen = np.empty(4 * most, np.int64)
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        n = sizes[i]
        draw_names(s, n, shortest, longest, symbols, first, names, lengths, places, seen)
        at = append(buffer, at, SEPARATOR, False)
        for v in range(n):
            edges[v] = asked[v] = v
        shuffle(s, edges[:n])
        if again:
            shuffle(start(again, indices[i]), edges[:n])
        for edge in edges[:n]:
            at = put_name(buffer, at, names, lengths, edge, False)
            at = put_name(buffer, at, names, lengths, (edge + 1) % n, False)
        for question in range(min(queries, n)):
            chosen = question + below(s, n - question)
            asked[question], asked[chosen] = asked[chosen], asked[question]
            source = asked[question]
            k = hops[0] + below(s, hops[1] - hops[0] + 1)
            target = (source + k) % n
            begin = at
            at = append(buffer, at, QUERY + k - 1, False)
            at = put_name(buffer, at, names, lengths, source, False)
            at = append(buffer, at, ANSWER, False)
            buffer.cuts[i] = at
            at = put_name(buffer, at, names, lengths, target, True)
            buffer.labels[1, begin:at] = question
            buffer.labels[2, begin:at] = k
            buffer.labels[3, begin:at] = names[target, 0] - first
        buffer.offsets[i + 1] = at


@register
class Depo(Asks[DepoConfig], HasEntropy[DepoConfig], HasParaphrases[DepoConfig], Probed[DepoConfig]):
    """Steps along a hidden cycle."""

    config_type = DepoConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vertices": 32, "hops": 4, "name_tokens": (1, 1), "name_symbols": 32},
        **{
            f"depo1_{n}": {"vertices": n, "hops": 8, "name_tokens": (1, 2), "name_symbols": 50} for n in (225, 300, 375)
        },
        **{  # for weaker architectures
            f"depo1_{n}_k4": {"vertices": n, "hops": 4, "name_tokens": (1, 2), "name_symbols": 50}
            for n in (225, 300, 375)
        },
        **{f"depo2_{n}": {"vertices": n, "hops": 16, "name_tokens": (5, 7), "name_symbols": 4} for n in (75, 100, 125)},
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <ans>`, `<query_1>` to `<query_K>`, then the tokens of names."""
        c = self.config
        return ["<s>", "<ans>", *(f"<query_{k}>" for k in range(1, c.hops + 1)), *c.name_vocabulary]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def max_length(self) -> int:
        c = self.config
        questions = min(c.queries, c.vertices)
        return 1 + 2 * c.vertices * c.longest_name + questions * (2 + 2 * c.longest_name)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("hops", "difficulty", "steps along the cycle", (1, 4)),
            Axis("vertices", "amount", "vertices of the cycle", (8, 32)),
            Axis("name_tokens", "format", "tokens that spell a vertex", ((1, 1), (2, 4))),
            Axis("queries", "format", "questions about a cycle", (1, 4)),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The longest cycles, with K and with K/2 steps."""
        hops = self.config.hops
        return {
            "full": {"exact": True, "exact_hops": hops},
            "half": {"exact": True, "exact_hops": max(1, hops // 2)},
        }

    @property
    def chance(self) -> float:
        """Accuracy of naming any one of the cycle's vertices: the mean of 1/n."""
        c = self.config
        if c.exact:
            return 1 / c.vertices
        return float(size_probabilities(c.vertices) @ (1 / np.arange(3, c.vertices + 1)))

    def floor(self) -> float:
        """0: an answer follows from its question."""
        return 0.0

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.zeros(len(instances))

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh cycles. Labels, -1 elsewhere:

        vertex    on names: the vertex's place along the cycle, from an arbitrary one on; so a name lies
                  (vertex - vertex of another) mod n steps after the other
        question  from <query_k> to the answer's end: which question it is
        hops      likewise: its k
        answer    likewise: the first token of the right answer, as a token of names
        """
        return self._sample(stream, indices, 0)

    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """The same cycles and questions, the edges listed in another order."""
        return self._sample(stream, indices, stream.key("depo", "again", self.config.seed, number))

    def _sample(self, stream: Stream, indices: NDArray[np.int64], again: int) -> Instances:
        c = self.config
        n = sizes(c, stream.key("depo", "sizes", c.seed), indices)
        hops = (1, c.hops) if c.exact_hops is None else (c.exact_hops, c.exact_hops)
        key = np.uint64(stream.key("depo", "cycle", c.seed))

        def write(buffer: TokenBuffer) -> None:
            _write(
                key, np.uint64(again), indices, n, hops, c.queries, *c.name_tokens, c.name_symbols, self._first, buffer
            )

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def _first(self) -> int:
        """Id of the first token of names."""
        return QUERY + self.config.hops

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"hops": self.config.hops + 1, "answer": len(self.config.name_vocabulary)}

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to the last question's `<ans>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion is the name that the prompt's last question asks for, found by walking its edges."""
        tokens: list[int] = truth.tolist()
        end = len(self.vocabulary)
        first_question = next(i for i, token in enumerate(tokens) if QUERY <= token < self._first)
        last_question = max(i for i, token in enumerate(tokens) if QUERY <= token < self._first)
        spelt, _ = split_names(tokens[1:first_question], end - self.config.name_symbols, end)
        follows = dict(zip(spelt[::2], spelt[1::2], strict=True))
        hops = tokens[last_question] - QUERY + 1
        vertex = tuple(tokens[last_question + 1 : -1])
        for _ in range(hops):
            vertex = follows[vertex]
        return compare(vertex, completion, hops, self.vocabulary)
