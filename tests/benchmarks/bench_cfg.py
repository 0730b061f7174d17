"""Grammars: sampling with labels, parsing with exact counts and next-token distributions, against plain Python.

    python tests/benchmarks/bench_cfg.py [--grammars cfg3b cfg3f cfg3k] [--sentences 200] [--repeats 5]

The references are what one would write by hand: a recursive sampler that keeps each token's ancestors, and a CKY parser
over nested lists that counts the parses of every span. Both run on one core, on the same sentences; the reference
parser takes seconds a sentence, so it gets one. Medians over the repeats. The released generator of PhysicsLM4 was
measured at 3.7 s (cfg3b), 9.3 s (cfg3f) and 30 s (cfg3k) a sentence, and at 0.3 to 0.6 M sampled tokens a second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from operator import mul

import numpy as np

from physlm import grammars
from physlm.grammars import Grammar
from physlm.tasks import Stream
from physlm.tasks.cfg import Cfg, CfgConfig

TARGET_VERIFY_MS = {"cfg3b": 3.7, "cfg3f": 9.3, "cfg3k": 30.0}
TARGET_SAMPLE = 4e6


def plain_sample(grammar: Grammar, rng: random.Random) -> list[list[int]]:
    """One sentence: for each token its ancestors from the root on, each as symbol and index, then the token."""
    counters = [0] * (grammar.depth + 1)

    def derive(depth: int, symbol: int, ancestors: list[int]) -> list[list[int]]:
        here = [*ancestors, symbol, counters[depth]]
        counters[depth] += 1
        if depth == grammar.depth:
            return [[*here, symbol + 1]]
        rule = rng.choice(grammar.rules[depth][symbol])
        return [token for s in rule for token in derive(depth + 1, s, here)]

    return derive(0, 0, [])


def plain_count(grammar: Grammar, tokens: list[int]) -> int:
    """Number of parses: ways[symbol][i][j] for every span i..j, level by level from the tokens up."""
    n = len(tokens)

    def combine(left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
        columns = [list(column) for column in zip(*right, strict=True)]
        return [
            [sum(map(mul, row[i:j], columns[j][i:j])) if j > i else 0 for j in range(n + 1)]
            for i, row in enumerate(left)
        ]

    below = [
        [[int(j == i + 1 and tokens[i] == t + 1) for j in range(n + 1)] for i in range(n + 1)]
        for t in range(grammar.terminals)
    ]
    for symbols in reversed(grammar.rules):
        beginnings: dict[tuple[int, ...], list[list[int]]] = {(t,): table for t, table in enumerate(below)}
        level = []
        for rules in symbols:
            table = [[0] * (n + 1) for _ in range(n + 1)]
            for rule in rules:
                for k in range(2, len(rule) + 1):
                    if rule[:k] not in beginnings:
                        beginnings[rule[:k]] = combine(beginnings[rule[: k - 1]], below[rule[k - 1]])
                ways = beginnings[rule]
                table = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(table, ways, strict=True)]
            level.append(table)
        below = level
    return below[0][0][n]


def seconds(action: Callable[[], object], repeats: int = 1) -> float:
    """Median wall time of the action."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def bench(name: str, sentences: int, repeats: int) -> None:
    task = Cfg(CfgConfig(grammar=name))
    grammar = task.grammar
    few, many = np.arange(sentences), np.arange(20 * sentences)
    instances = task.sample(Stream("test"), few)
    tokens = np.delete(instances.tokens, instances.offsets[:-1])
    offsets = instances.offsets - np.arange(sentences + 1)
    garbage = np.random.default_rng(0).integers(1, grammar.tokens + 1, len(tokens)).astype(np.int32)
    completions = [task.completion(instances, i) for i in range(sentences)]
    parses = grammars.parse(grammar, tokens, offsets).parses  # compiles, too
    task.next_token(instances.tokens, instances.offsets)

    rng = random.Random(0)
    plain = [plain_sample(grammar, rng) for _ in range(40)]
    plain_rate = sum(map(len, plain)) / seconds(lambda: [plain_sample(grammar, rng) for _ in range(40)], repeats)
    total = len(task.sample(Stream(), many).tokens)
    rate = total / seconds(lambda: task.sample(Stream(), many), repeats)
    print(f"{name}: mean length {np.diff(offsets).mean():.0f}, {(parses > 1).mean():.0%} of the sentences ambiguous")
    print(
        f"  sampling with labels   {rate / 1e6:8.1f} M tokens/s     plain Python {plain_rate / 1e6:.2f} M, "
        f"ratio {rate / plain_rate:.0f}   (target {TARGET_SAMPLE / 1e6:.0f} M)"
    )

    typical = int(np.argsort(np.diff(offsets))[sentences // 2])
    sentence = tokens[offsets[typical] : offsets[typical + 1]].tolist()
    counts: list[int] = []
    reference = seconds(lambda: counts.append(plain_count(grammar, sentence)))
    assert counts == [parses[typical]], "the two parsers must agree"
    batch = seconds(lambda: grammars.parse(grammar, tokens, offsets), repeats) / sentences
    bad = seconds(lambda: grammars.parse(grammar, garbage, offsets), repeats) / sentences
    single = seconds(lambda: [task.verify((), c) for c in completions], repeats) / sentences
    foreseen = seconds(lambda: task.next_token(instances.tokens, instances.offsets), repeats) / sentences
    target = TARGET_VERIFY_MS.get(name)
    print(
        f"  parse and count        {batch * 1e3:8.3f} ms/sentence    plain Python {reference:.1f} s for "
        f"{len(sentence)} tokens, ratio {reference / batch:,.0f}" + (f"   (target {target} ms)" if target else "")
    )
    print(f"  random strings         {bad * 1e3:8.3f} ms/string")
    print(f"  Cfg.verify, one by one {single * 1e3:8.3f} ms/sentence")
    print(f"  next token everywhere  {foreseen * 1e3:8.3f} ms/sentence")
    nearest = seconds(lambda: grammars.nearest(grammar, np.array(sentence[::-1], np.int32)), repeats)
    print(f"  nearest sentence       {nearest * 1e3:8.1f} ms for {len(sentence)} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grammars", nargs="+", default=list(TARGET_VERIFY_MS), choices=list(grammars.families()))
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    for name in arguments.grammars:
        bench(name, arguments.sentences, arguments.repeats)


if __name__ == "__main__":
    main()
