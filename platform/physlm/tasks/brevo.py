"""Brevo: all that a vertex depends on, in an order that works (mental reasoning breadth; Part 4.1, appendix A).

A directed acyclic graph is given edge by edge in random order, each as a vertex and one that depends on it; the answer
names all ancestors of the query and then the query itself, none before those it depends on. Any such order is right.
A sample:

    config     vertices=5 name_symbols=6 exact=true seed=14
    text       <s> x4. x1. x1. x2. x6. x2. x6. x1. x1. x3. <query> x2. <ans> x6. x4. x1. x2. <eos>
    loss         0   0   0   0   0   0   0   0   0   0   0       0   0     0   1   1   1   1     1
    vertex      -1   1   2   2   3   0   3   0   2   2   4      -1   3    -1   0   1   2   3    -1
    ancestor    -1   1   1   1   1   1   1   1   1   1   0      -1   1    -1   1   1   1   1    -1
    depth       -1   0   1   1   2   0   2   0   1   1   2      -1   2    -1   0   0   1   2    -1
    choices     -1  -1  -1  -1  -1  -1  -1  -1  -1  -1  -1      -1  -1    -1   1   2   1   1    -1

Draws: n ∝ 1/(√N + n) on 3 to N; the first 1 to (n - 1)/4 + 1 vertices depend on none, each later one on 1 to 4 earlier
ones of at most 4 dependants each. The query is one of the last quarter of the vertices, as the paper says "to avoid
degenerate cases"; the released code always takes the very last, which is `query: last`. The answer's order is that of
a topological sort from the query backwards that picks uniformly among what it may pick. Brevo1 has names of one token
(V = N), Brevo2 of 2 to 4 tokens (V = 4). Only answers are trained on. The paper evaluates at n = N: knob `exact`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.randomness import below, start
from physlm.tasks.answers import TokenBuffer, append, per_instance, readable
from physlm.tasks.capabilities import Asks, HasEntropy, HasParaphrases, Probed, Verdict
from physlm.tasks.task import Axis, Instances, Stream, register
from physlm.tasks.vertices import GraphConfig, draw_names, put_name, shuffle, sizes, sizes_at, split_names

SEPARATOR, QUERY, ANSWER, END, FIRST = range(5)  # FIRST token of names
DEGREE = 4  # most vertices that one depends on, and most that depend on it
LABELS = ("vertex", "ancestor", "depth", "choices")
_GRAPHS = 16_384  # behind the estimates of floor and chance


class BrevoConfig(GraphConfig):
    """Knobs of Brevo; the letters are the paper's."""

    type: Literal["brevo"] = "brevo"
    query: Literal["last_quarter", "last"] = Field(
        "last_quarter",
        description="vertices that are asked about: the last quarter (paper) or the last (released code)",
    )
    max_tokens: int | None = Field(None, ge=1, description="graphs whose instances are longer are drawn again")

    @model_validator(mode="after")
    def _most_graphs_fit(self) -> BrevoConfig:
        if self.max_tokens is not None and 4 * self.max_tokens < 3 * self.longest:
            raise ValueError(
                f"max_tokens: must be at least 3/4 of the longest instance's {self.longest} tokens, "
                f"got {self.max_tokens}"
            )
        return self

    @property
    def longest(self) -> int:
        """Tokens that an instance can have at most, before `max_tokens`."""
        edges = sum(min(v, DEGREE) for v in range(self.vertices))
        return 4 + (2 * edges + 1 + self.vertices) * self.longest_name


@njit(cache=True)
def _draw_graph(s, n, parents, begins, out, free):  # type: ignore[no-untyped-def]
    """Vertex v depends on parents[begins[v]:begins[v + 1]], all smaller. Scratch: out, free int64 [≥ n]."""
    sources = 1 + below(s, (n - 1) // 4 + 1)
    open_ = 0  # free[:open_] are the vertices that more can depend on
    edges = 0
    for v in range(n):
        begins[v] = edges
        if v >= sources:
            count = 1 + below(s, min(open_, DEGREE))
            for j in range(count):
                chosen = j + below(s, open_ - j)
                free[j], free[chosen] = free[chosen], free[j]
                parents[edges] = free[j]
                out[free[j]] += 1
                edges += 1
            for j in range(count - 1, -1, -1):
                if out[free[j]] == DEGREE:
                    open_ -= 1
                    free[j] = free[open_]
        out[v] = 0
        free[open_] = v
        open_ += 1
    begins[n] = edges


@njit(cache=True)
def _draw_order(s, query, parents, begins, is_ancestor, waiting, ready, order, choices):  # type: ignore[no-untyped-def]
    """A topological sort of the query's ancestors, from its end on; what there was to choose among at each pick."""
    is_ancestor[:] = 0
    is_ancestor[query] = 1
    waiting[:] = 0  # ancestors that depend on a vertex and aren't placed yet
    for v in range(query, -1, -1):
        if is_ancestor[v]:
            for p in parents[begins[v] : begins[v + 1]]:
                is_ancestor[p] = 1
                waiting[p] += 1
    ready[0] = query
    count = 1
    placed = 0
    while count:
        choices[placed] = count
        pick = below(s, count)
        v = ready[pick]
        count -= 1
        ready[pick] = ready[count]
        order[placed] = v
        placed += 1
        for p in parents[begins[v] : begins[v + 1]]:
            waiting[p] -= 1
            if waiting[p] == 0:
                ready[count] = p
                count += 1
    return placed


@njit(cache=True)
def _write(key, again, indices, sizes, last_only, shortest, longest, symbols, limit, buffer):  # type: ignore[no-untyped-def]
    """again: key of another order of the edges, 0 for none."""
    most = max(1, sizes.max()) if len(sizes) else 1
    names = np.empty((most, longest), np.int64)
    seen = np.empty(4 * most, np.int64)
    lengths, places, out, free, waiting, ready, order, choices, is_ancestor, depth = np.empty((10, most), np.int64)
    begins = np.empty(most + 1, np.int64)
    parents, children, edges = np.empty((3, DEGREE * most), np.int64)
    at = 0
    for i in range(len(indices)):
        s = start(key, indices[i])
        n = sizes[i]
        while True:
            draw_names(s, n, shortest, longest, symbols, FIRST, names, lengths, places, seen)
            _draw_graph(s, n, parents, begins, out, free)
            lowest = n - 1 if last_only else 3 * n // 4
            query = lowest + below(s, n - lowest)
            placed = _draw_order(s, query, parents, begins, is_ancestor[:n], waiting[:n], ready, order, choices)
            tokens = 4 + lengths[query]
            for v in order[:placed]:
                tokens += lengths[v]
            for v in range(n):
                depth[v] = 0
                for e in range(begins[v], begins[v + 1]):
                    children[e] = v
                    edges[e] = e
                    depth[v] = max(depth[v], depth[parents[e]] + 1)
                    tokens += lengths[v] + lengths[parents[e]]
            if tokens <= limit:
                break
        begin = at
        at = append(buffer, at, SEPARATOR, False)
        shuffle(s, edges[: begins[n]])
        if again:
            shuffle(start(again, indices[i]), edges[: begins[n]])
        for e in edges[: begins[n]]:
            at = put_name(buffer, at, names, lengths, parents[e], False)
            at = put_name(buffer, at, names, lengths, children[e], False)
        at = append(buffer, at, QUERY, False)
        at = put_name(buffer, at, names, lengths, query, False)
        at = append(buffer, at, ANSWER, False)
        buffer.cuts[i] = at
        for j in range(placed - 1, -1, -1):
            after = put_name(buffer, at, names, lengths, order[j], True)
            buffer.labels[3, at] = choices[j]
            at = after
        at = append(buffer, at, END, True)
        for j in range(begin, at):
            v = buffer.labels[0, j]
            if v >= 0:
                buffer.labels[1, j] = is_ancestor[v]
                buffer.labels[2, j] = depth[v]
        buffer.offsets[i + 1] = at


@lru_cache(maxsize=64)
def _estimate(config: BrevoConfig) -> tuple[float, float]:
    """Entropy of an answer, and chance; every number of vertices has its share of the graphs."""
    task = Brevo(config)
    shares = (np.arange(_GRAPHS) + 0.5) / _GRAPHS
    n = sizes_at(config, shares)
    graphs = task.graphs(randomness.key("brevo", "estimate", config.seed), np.arange(_GRAPHS), n)
    is_pair = per_instance(graphs, graphs.labels["choices"] > 0) == 2
    return float(task.surprisal(graphs).mean()), float((is_pair / (n * (n - 1))).mean())


@register
class Brevo(Asks[BrevoConfig], HasEntropy[BrevoConfig], HasParaphrases[BrevoConfig], Probed[BrevoConfig]):
    """Ancestors in topological order."""

    config_type = BrevoConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vertices": 8, "name_tokens": (1, 1), "name_symbols": 8},
        **{f"brevo1_{n}": {"vertices": n, "name_tokens": (1, 1), "name_symbols": n} for n in (70, 90, 110)},
        # 1536 is the paper's context length; longer instances practically don't occur
        **{
            f"brevo2_{n}": {"vertices": n, "name_tokens": (2, 4), "name_symbols": 4, "max_tokens": 1536}
            for n in (30, 40, 50)
        },
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s> <query> <ans> <eos>`, then the tokens of names."""
        return ["<s>", "<query>", "<ans>", "<eos>", *self.config.name_vocabulary]

    @property
    def separator(self) -> int:
        return SEPARATOR

    @property
    def max_length(self) -> int:
        c = self.config
        return c.longest if c.max_tokens is None else min(c.longest, c.max_tokens)

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("vertices", "difficulty", "vertices of the graph", (4, 8)),
            Axis("name_tokens", "format", "tokens that spell a vertex", ((1, 1), (2, 4))),
            Axis("query", "type", "which vertices are asked about", ("last_quarter", "last")),
        )

    @property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The largest graphs."""
        return {"full": {"exact": True}}

    @property
    def chance(self) -> float:
        """Accuracy of naming any two of the graph's vertices, the shortest answer: a mean over many graphs."""
        return _estimate(self.config)[1]

    def floor(self) -> float:
        """Entropy of an answer's order, in nats: the mean `surprisal` of many graphs, good to about 1 %."""
        return _estimate(self.config)[0]

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        """Σ ln(choices): the orders' picks were uniform, and an order tells its picks."""
        return per_instance(instances, np.log(np.maximum(instances.labels["choices"], 1)))

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Fresh graphs. Labels on names, -1 elsewhere:

        vertex    number of the vertex in the order that the graph grew in
        ancestor  1 if the query depends on it (or it is the query), else 0
        depth     edges of the longest path that leads to it
        choices   on the first token of each name of an answer: how many vertices the sort could place there, given
                  those that it had placed after it
        """
        n = sizes(self.config, stream.key("brevo", "sizes", self.config.seed), indices)
        return self.graphs(stream.key("brevo", "graph", self.config.seed), indices, n)

    def paraphrase(self, stream: Stream, indices: NDArray[np.int64], number: int) -> Instances:
        """The same graphs and answers, the edges listed in another order."""
        n = sizes(self.config, stream.key("brevo", "sizes", self.config.seed), indices)
        again = stream.key("brevo", "again", self.config.seed, number)
        return self.graphs(stream.key("brevo", "graph", self.config.seed), indices, n, again)

    def graphs(self, key: int, indices: NDArray[np.int64], n: NDArray[np.int64], again: int = 0) -> Instances:
        """Graphs of n vertices each, int64 [len(indices)], and questions about them; again: see `_write`."""
        c = self.config

        def write(buffer: TokenBuffer) -> None:
            _write(
                np.uint64(key),
                np.uint64(again),
                indices,
                n,
                c.query == "last",
                *c.name_tokens,
                c.name_symbols,
                self.max_length,
                buffer,
            )

        return TokenBuffer.build(len(indices), self.max_length, LABELS, write)

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return {"ancestor": 2, "depth": self.config.vertices}

    def prompt(self, instances: Instances, i: int) -> NDArray[np.int32]:
        """All up to `<ans>`."""
        prompt: NDArray[np.int32] = instances.truth[i]
        return prompt

    def verify(self, truth: Any, completion: NDArray[np.int32]) -> Verdict:
        """Whether the completion names all ancestors of the prompt's query, then the query, in a valid order, ended.

        No partial credit. Counts: `operations`, dependencies among those vertices; `vertices` of them; and `in_order`,
        how many vertices are named rightly before the first error.
        """
        prompt: list[int] = truth.tolist()
        end = len(self.vocabulary)
        last = end - self.config.name_symbols
        spelt, _ = split_names(prompt[1 : prompt.index(QUERY)], last, end)
        depends = defaultdict(set)
        for parent, child in zip(spelt[::2], spelt[1::2], strict=True):
            depends[child].add(parent)
        query = tuple(prompt[prompt.index(QUERY) + 1 : -1])
        needed = {query}
        unseen = [query]
        while unseen:
            fresh = depends[unseen.pop()] - needed
            needed |= fresh
            unseen.extend(fresh)
        counts = {"operations": float(sum(len(depends[v]) for v in needed)), "vertices": float(len(needed))}

        given: list[int] = readable(completion).tolist()
        ended = bool(given) and given[-1] == END
        named, rest = split_names(given[:-1] if ended else given, last, end)
        done: set[tuple[int, ...]] = set()
        for name in named:
            problem = ""
            if name not in needed:
                problem = "is no vertex that the query depends on"
            elif name in done:
                problem = "is named twice"
            elif not depends[name] <= done:
                problem = "is named before one that it depends on"
            if problem:
                shown = self.text(np.array(name)) if len(name) <= self.config.longest_name else f"{len(name)} tokens"
                return Verdict(False, f"{shown} {problem}", counts | {"in_order": float(len(done))})
            done.add(name)
        counts["in_order"] = float(len(done))
        if rest:
            return Verdict(False, "the completion has tokens that spell no name", counts)
        if done != needed:
            return Verdict(False, f"{len(needed) - len(done)} of {len(needed)} vertices aren't named", counts)
        if not ended:
            return Verdict(False, "the completion doesn't end with <eos>", counts)
        return Verdict(True, counts=counts)
