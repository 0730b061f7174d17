"""iGSM: problems a second on one core, tokens included, against a plain Python generator of the same language.

    python tests/benchmarks/bench_igsm.py [--presets med hard] [--problems 20000] [--plain 100] [--repeats 5]

The reference is what one would write by hand, and draws as the released generator does: dicts of tuples, copies of the
state to try things out, and everything but the number of operations drawn anew until a problem has exactly that many
and its template's hash lies in the training bins. Its problems must pass our checker and be as long as ours. Both run
on one core, in turn; CPU time, medians over the repeats. The released generator was measured at 16.8 (med) and 13.8
(hard) problems a second, tokens included.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from physlm.igsm import lexicon
from physlm.igsm.dependency import FEW_OPERATIONS, HASH_BINS
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig

RELEASED = {"med": 16.8, "hard": 13.8}
TARGET = {"med": 1700, "hard": 1400}

Parameter = tuple[str, int, int, int]  # "instance" or "abstract"; layer and place of the owner; place, or lower layer


class Plain:
    """A generator of iGSM in plain Python; one object draws one problem after the other."""

    def __init__(self, task: Igsm, seed: int) -> None:
        self.config, self.rng = task.config, random.Random(seed)
        self.vocabulary = list(task.vocabulary)
        self.ids = {word: i for i, word in enumerate(self.vocabulary)}
        self.words = task._lexicon.words
        self.attempts = 0

    def problem(self) -> list[int]:
        """Tokens of one training instance."""
        op = self.light(1, self.config.max_op)
        while True:
            self.attempts += 1
            tokens = self.attempt(op)
            if tokens is not None and len(tokens) <= self.config.max_tokens:
                return tokens

    def light(self, low: int, high: int) -> int:
        return min(self.rng.randint(low, high), self.rng.randint(low, high))

    def softmax(self, ratio: float) -> int:
        weights = [math.exp(-((ratio - center) ** 2)) for center in (0.2, 0.5, 0.8)]
        return self.rng.choices([2, 3, 4], weights)[0]

    def attempt(self, op: int) -> list[int] | None:
        rng, most = self.rng, self.config.max_edges
        goal = self.light(1, self.config.max_op)
        first = max(rng.randint(1, goal), rng.randint(1, goal))
        total = rng.randint(first, goal)
        ratio = (goal - 1) / (most - 1)
        depth = self.softmax(ratio)
        narrow, wide = sorted((self.softmax(ratio), self.softmax(ratio)))
        growth = rng.random()
        edges = min(self.light((depth - 1) * narrow, most), (depth - 1) * wide**2)
        for _ in range(1000):
            self.draw_structure(depth, narrow, wide, growth, edges)
            self.choose(first, total)
            if self.put_in_order():
                break
        else:
            return None
        self.add_operands(goal)
        self.add_unnecessary()
        self.name_things()
        problem = self.write_problem()
        solution, sketch, operations = self.write_solution()
        if operations != op or (op > FEW_OPERATIONS and self.template_bin(sketch) >= self.config.train_bins):
            return None
        words = ["<s>", *problem, "<solution>", *solution, "<answer>", str(self.value[self.solution[-1]])]
        return [self.ids[word] for word in words]

    # -- structure

    def draw_structure(self, depth: int, narrow: int, wide: int, growth: float, edges: int) -> None:
        rng = self.rng
        widths = [narrow] * depth
        while True:
            room = sum(a * b for a, b in pairwise(widths))
            growable = [layer for layer in range(depth) if widths[layer] < wide]
            if not growable or (room >= edges and (sum(widths[1:]) == edges or rng.random() >= growth)):
                break
            widths[rng.choice(growable)] += 1
        self.widths = widths
        self.holds: dict[tuple[int, int], list[int]] = {(i, j): [] for i in range(depth) for j in range(widths[i])}
        pairs = [(i, j, k) for i in range(depth - 1) for j in range(widths[i]) for k in range(widths[i + 1])]
        for layer in range(1, depth):
            for k in range(widths[layer]):
                owner = rng.randrange(widths[layer - 1])
                self.holds[layer - 1, owner].append(k)
                pairs.remove((layer - 1, owner, k))
        for i, j, k in rng.sample(pairs, edges - sum(widths[1:])):
            self.holds[i, j].append(k)
        self.instance: list[Parameter] = [("instance", i, j, k) for (i, j), held in self.holds.items() for k in held]
        self.abstract: list[Parameter] = [
            ("abstract", i, j, k) for (i, j) in self.holds for k in range(i + 1, depth) if i < depth - 1
        ]

    def made_of(self, p: Parameter) -> list[Parameter]:
        """What an abstract parameter is the sum of, or the sum of products of."""
        _, i, j, k = p
        parts: list[Parameter] = []
        for held in self.holds[i, j]:
            parts.append(("instance", i, j, held))
            if k > i + 1:
                parts.append(("abstract", i + 1, held, k))
        return parts

    # -- necessary parameters

    def take(self, state: dict[str, Any], p: Parameter) -> int:
        """Add a parameter with all that it is made of; what that costs."""
        if p in state["chosen"]:
            return 0
        state["chosen"].append(p)
        if p[0] == "instance":
            state["left"].remove(p)
            return 1
        parts = self.made_of(p)
        return max(1, len(parts) - 1) + sum(self.take(state, part) for part in parts)

    def choose(self, first: int, total: int) -> None:
        state: dict[str, Any] = {"chosen": [], "left": list(self.instance)}
        most = len(self.instance) + sum(
            max(1, len(self.made_of(p)) - 1) for p in self.abstract if self.holds[p[1], p[2]]
        )
        budget = min(first, most)
        rest, cost = total - budget, 0
        while budget:
            best = None
            for reach in range(1, len(self.widths)):
                pool = [p for p in self.abstract if p[3] - p[1] == reach and p not in state["chosen"]]
                if pool:
                    trial = copy.deepcopy(state)
                    price = self.take(trial, self.rng.choice(pool))
                    if price > budget:
                        break
                    best = trial, price
            if best is None:
                break
            state = best[0]
            budget -= best[1]
            cost += best[1]
        more = self.rng.sample(state["left"], min(budget + rest, len(state["left"])))
        self.chosen: list[Parameter] = state["chosen"] + more
        self.cost = cost + len(more)

    def put_in_order(self) -> bool:
        rng = self.rng
        quoting, bias = rng.random(), abs(rng.gauss(0, 1))
        self.needs = {p: self.made_of(p) if p[0] == "abstract" else [] for p in self.chosen}
        users = dict.fromkeys(self.chosen, 0)
        for parts in self.needs.values():
            for part in parts:
                users[part] += 1
        free = [p for p in self.chosen if users[p] == 0]
        left, used, order = list(self.chosen), [], []
        pool = free
        while left:
            if not pool:
                return False
            p = rng.choice(pool)
            order.append(p)
            left.remove(p)
            free.remove(p)
            if p in used:
                used.remove(p)
            for part in self.needs[p]:
                users[part] -= 1
                if users[part] == 0:
                    free.append(part)
                if part not in used:
                    used.append(part)
            if p[0] == "instance" and left:
                stuck = not any(q in free for q in used)
                if stuck or rng.random() < quoting:
                    candidates = free if stuck else left
                    weights = [math.exp(bias * ((q[0] == "abstract") + (q not in used))) for q in candidates]
                    q = rng.choices(candidates, weights)[0]
                    self.needs[p].append(q)
                    if q not in used:
                        used.append(q)
            pool = [q for q in free if q in used]
        self.solution = order[::-1]
        return True

    def add_operands(self, goal: int) -> None:
        rng = self.rng
        room = {step: min(step + 1, 4) - 2 for step, p in enumerate(self.solution) if p[0] == "instance" and step >= 2}
        extra = dict.fromkeys(range(len(self.solution)), 0)
        for _ in range(min(goal - self.cost, sum(room.values()))):
            step = rng.choice([step for step in room if extra[step] < room[step]])
            extra[step] += 1
        self.constant: dict[Parameter, bool] = {}
        for step, p in enumerate(self.solution):
            if p[0] == "abstract":
                continue
            count = min(extra[step] + 2 if extra[step] else rng.randint(1, 2), step + 1)
            pool: list[Any] = ["constant", *self.solution[:step]]
            picked = list(pool)
            if count < len(pool):
                for q in self.needs[p]:
                    pool.remove(q)
                    count -= 1
                picked = []
                if count and rng.random() < 0.5:
                    pool.remove("constant")
                    picked.append("constant")
                    count -= 1
                picked += rng.sample(pool, count)
            self.constant[p] = "constant" in picked
            self.needs[p] += [q for q in picked if q != "constant" and q not in self.needs[p]]

    def add_unnecessary(self) -> None:
        rng = self.rng
        self.sequence = list(self.solution)
        self.follow()
        alone: list[Parameter] = []
        left = [p for p in self.instance if p not in self.sequence]
        rng.shuffle(left)
        for p in left:
            independent = rng.random() < 0.5
            pool = alone if independent else self.sequence
            count = 1
            while count < min(len(pool) + 1, 4) and rng.random() < 0.5:
                count += 1
            self.constant[p] = count == len(pool) + 1 or rng.random() < 0.5
            self.needs[p] = rng.sample(pool, count - self.constant[p])
            if independent:
                alone.append(p)
            self.sequence.append(p)
            self.follow()

    def follow(self) -> None:
        """Append abstract parameters that can be computed by now."""
        for p in reversed(self.abstract):
            if p not in self.sequence:
                parts = self.made_of(p)
                if all(part in self.sequence for part in parts):
                    self.needs[p] = parts
                    self.sequence.append(p)

    # -- text

    def name_things(self) -> None:
        rng, words = self.rng, self.words
        self.chain = rng.randrange(len(words.category))
        self.level = rng.randint(0, 4 - len(self.widths))
        self.names = {}
        for layer, width in enumerate(self.widths):
            for place, name in enumerate(rng.sample(range(words.name.shape[2]), width)):
                tokens = words.name[self.chain, self.level + layer, name].tolist()
                self.names[layer, place] = [self.vocabulary[token] for token in tokens if token >= 0]

    def name(self, p: Parameter) -> list[str]:
        return [*self.names[p[1], p[2]], "'s", *self.target(p)]

    def target(self, p: Parameter) -> list[str]:
        if p[0] == "instance":
            return self.names[p[1] + 1, p[3]]
        return [self.vocabulary[self.words.category[self.chain, self.level + p[3]]]]

    def write_problem(self) -> list[str]:
        rng, modulus = self.rng, self.config.modulus
        self.value: dict[Parameter, int] = {}
        self.form: dict[Parameter, tuple[str, int]] = {}
        self.minus: dict[Parameter, bool] = {}
        sentences: dict[Parameter, list[str]] = {}
        for p in self.sequence:
            parts = self.needs[p]
            if p[0] == "abstract":
                step = 2 if p[3] > p[1] + 1 else 1
                value = sum(math.prod(self.value[q] for q in parts[i : i + step]) for i in range(0, len(parts), step))
                self.value[p] = value % modulus
                continue
            words = ["The number of", "each", *self.name(p), "equals"]
            rng.shuffle(parts)
            self.minus[p] = len(parts) == 2 and rng.random() < 0.5
            values = [self.value[q] for q in parts]
            value = values[0] - values[1] if self.minus[p] else sum(values)
            if self.constant[p]:
                times = bool(parts) and rng.random() < 0.5
                number = rng.randint(int(times), modulus - 1)
                self.form[p] = "*" if times else "+", number
                value = value * number if times else value + number
                words.append(str(number))
                if parts:
                    words.append("times as much as" if times else "more than")
            if len(parts) > 1:
                words.append("the difference of" if self.minus[p] else "the sum of")
            for i, q in enumerate(parts):
                if i:
                    words.append("and" if i == len(parts) - 1 else ",")
                words += ["each", *self.name(q)]
            self.value[p] = value % modulus
            sentences[p] = [*words, "."]
        order = list(sentences.values())
        rng.shuffle(order)
        query = self.solution[-1]
        question = ["How many", *self.target(query), "does", "each", *self.names[query[1], query[2]], "have", "?"]
        return [word for sentence in order for word in sentence] + question

    def write_solution(self) -> tuple[list[str], list[str], int]:
        """The solution; the same with kinds instead of names; its operations."""
        modulus = self.config.modulus
        letters = self.rng.sample(lexicon.LETTERS[: self.config.letters], self.config.letters)
        letter: dict[Parameter, str] = {}
        words: list[str] = []
        sketch: list[str] = []
        operations = 0

        def operate(left: tuple[str, int], sign: str, right: tuple[str, int]) -> tuple[str, int]:
            value = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[sign] % modulus
            work.append([left[0], sign, right[0], "=", str(left[1]), sign, str(right[1]), "=", str(value)])
            results.append(letters.pop() if letters else "z")
            return results[-1], value

        for p in self.solution:
            letter[p] = letters.pop() if letters else "z"
            work: list[list[str]] = []
            results: list[str] = []
            terms = [(letter[q], self.value[q]) for q in self.needs[p]]
            if p[0] == "abstract" and p[3] > p[1] + 1:
                terms = [operate(terms[i], "*", terms[i + 1]) for i in range(0, len(terms), 2)]
            total = terms[0] if terms else None
            for term in terms[1:]:
                assert total is not None
                total = operate(total, "-" if self.minus.get(p) else "+", term)
            if p in self.form:
                sign, number = self.form[p]
                total = operate((str(number), number), sign, total) if total else (str(number), number)
            said = ["as", letter[p]]
            for result, formula in zip(results[:-1], work[:-1], strict=True):
                said += [";", result, "=", *formula]
            said += [";", "so", letter[p], "="]
            if work:
                said += work[-1]
            elif total is not None and total[0].isalpha():
                said += [total[0], "=", str(total[1])]
            else:
                said += [str(self.value[p])]
            words += ["Define", *self.name(p), *said, "."]
            sketch += [p[0], *said]
            operations += max(1, len(work))
        return words, sketch, operations

    def template_bin(self, sketch: list[str]) -> int:
        """SHA-256 of the solution without names, numbers and choice of letters."""
        renamed: dict[str, str] = {}
        words = []
        for word in sketch:
            if len(word) == 1 and word.isalpha():
                words.append(renamed.setdefault(word, f"x{len(renamed)}"))
            else:
                words.append("0" if word.isdigit() else word)
        return int(hashlib.sha256(" ".join(words).encode()).hexdigest(), 16) % HASH_BINS


def seconds(action: Callable[[], object]) -> float:
    """CPU time."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


COMPILE = """
import time
import numpy as np
from physlm.tasks import Stream
from physlm.tasks.igsm import Igsm, IgsmConfig
imported = time.process_time()
task = Igsm(IgsmConfig())
task.sample(Stream(), np.arange(1))
sampled = time.process_time()
task.probe_labels(Stream(), np.arange(1))
print(imported, sampled - imported, time.process_time() - sampled)
"""


def compile_times() -> Iterator[list[float]]:
    """CPU time to import, to the first sample and to the first labels of probes: without a cache, then with it."""
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            result = subprocess.run(
                [sys.executable, "-c", COMPILE],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            yield [float(number) for number in result.stdout.split()]


def bench(preset: str, problems: int, plain_problems: int, repeats: int) -> None:
    task = Igsm(IgsmConfig(**Igsm.presets[preset]))
    task.sample(Stream(), np.arange(1))  # compiles
    plain = Plain(task, 0)
    ours, theirs, checked = [], [], []
    lengths: list[int] = []
    for repeat in range(repeats):
        indices = np.arange(repeat * problems, (repeat + 1) * problems)
        drawn: list[list[int]] = []
        theirs.append(
            plain_problems / seconds(lambda drawn=drawn: drawn.extend(plain.problem() for _ in range(plain_problems)))
        )
        ours.append(problems / seconds(lambda indices=indices: task.sample(Stream(), indices)))
        instances = task.sample(Stream("test"), indices[:1000])
        completions = [task.completion(instances, i) for i in range(len(instances))]
        verdicts: list[Any] = []
        pairs = list(zip(instances.truth, completions, strict=True))
        checked.append(len(pairs) / seconds(lambda v=verdicts, p=pairs: v.extend(task.verify(*pair) for pair in p)))
        assert all(verdict.correct for verdict in verdicts)
        lengths += map(len, drawn)
        for tokens in drawn:
            cut = tokens.index(lexicon.SOLUTION) + 1
            verdict = task.verify(np.array(tokens[:cut]), np.array(tokens[cut:]))
            assert verdict.correct, "both must speak the same language: " + verdict.reason
    rate, plain_rate = statistics.median(ours), statistics.median(theirs)
    length = task.sample(Stream(), np.arange(problems)).lengths.mean()
    print(
        f"{preset}: {length:.0f} tokens a problem; plain Python {np.mean(lengths):.0f} ± "
        f"{np.std(lengths) / math.sqrt(len(lengths)):.0f}, {plain.attempts / len(lengths):.1f} attempts a problem"
    )
    print(
        f"  sampling      {rate:10,.0f} problems/s, {rate * length / 1e6:5.1f} M tokens/s   (target {TARGET[preset]:,})"
    )
    print(
        f"  plain Python  {plain_rate:10,.1f} problems/s, ratio {rate / plain_rate:,.0f}   "
        f"(released generator {RELEASED[preset]}, ratio {rate / RELEASED[preset]:,.0f})"
    )
    print(f"  verifying     {statistics.median(checked):10,.0f} solutions/s, one by one, test set")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=list(TARGET), choices=list(TARGET))
    parser.add_argument("--problems", type=int, default=20_000)
    parser.add_argument("--plain", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    for preset in arguments.presets:
        bench(preset, arguments.problems, arguments.plain, arguments.repeats)
    for kind, (imported, sampled, labelled) in zip(("empty", "filled"), compile_times(), strict=True):
        print(
            f"{kind} cache: import {imported:.1f} s, first sample {sampled:.1f} s, first probe labels {labelled:.1f} s"
        )


if __name__ == "__main__":
    main()
