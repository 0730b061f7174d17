"""Biographies as tokens: the task bios against a plain Python template loop that makes the same data.

    python tests/benchmarks/bench_biographies.py [--people 100000] [--batch 1024] [--batches 16] [--repeats 7]

The reference is what one would write by hand: a table of persons as dicts; for each text a shuffled order of the
attributes, `random.choice` of a sentence, `str.format`, then a dict lookup for every word. Both run on one core, in
turn, on texts of the same persons from the same pools; rates are medians over the repeats, of tokens and biographies a
second of CPU time. Batches are of the size that training reads. The reference makes no labels; ours are timed without
them, as in training, and with all of them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import numpy as np

from physlm.people import ATTRIBUTES, FACTS
from physlm.people.templates import SENTENCES
from physlm.tasks import Stream
from physlm.tasks.bios import Bios, BiosConfig

TARGET = 10


class Plain:
    """The template loop."""

    def __init__(self, task: Bios, seed: int) -> None:
        spelt = {fact: [" ".join(e).replace("|", "") for e in entries] for fact, entries in task.world.entries.items()}
        persons = task.world.persons(np.arange(task.config.people)).tolist()
        self.people = [{fact: spelt[fact][v] for fact, v in zip(FACTS, row, strict=True)} for row in persons]
        for person in self.people:
            person["birth_date"] = "{birth_month} {birth_day} , {birth_year}".format(**person)
            person["name"] = "{first_name} {middle_name} {last_name}".format(**person)
        self.templates = {
            attribute: [
                "{subject} " + line.replace("{was}", "was").replace("{value}", f"{{{attribute}}}") for line in lines
            ]
            for attribute, lines in SENTENCES.items()
        }
        self.ids = {word: i for i, word in enumerate(task.vocabulary)}
        self.random = random.Random(seed)
        self.order = list(range(len(self.people)))

    def __call__(self, count: int) -> list[list[int]]:
        choice, shuffle, ids = self.random.choice, self.random.shuffle, self.ids
        texts = []
        for _ in range(count):
            person = self.people[choice(self.order)]
            attributes = list(ATTRIBUTES)
            shuffle(attributes)
            subject, sentences = person["name"], []
            for attribute in attributes:
                sentences.append(choice(self.templates[attribute]).format(subject=subject, **person))
                subject = person["gender"]
            texts.append([ids["<s>"], *[ids[word] for word in " ".join(sentences).split()]])
        return texts


def seconds(action: Callable[[], object]) -> float:
    """CPU seconds of the action: other processes on the machine count less."""
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    task = Bios(BiosConfig(people=arguments.people))
    plain = Plain(task, 0)
    count = arguments.batch * arguments.batches
    batches = np.arange(count).reshape(arguments.batches, arguments.batch)

    # The same data: each plain text has the fixed words and values that ours can have, and the lengths agree.
    sample = task.sample(Stream(), np.arange(count))
    lengths = [len(text) for text in plain(count)]
    assert abs(np.mean(lengths) - sample.lengths.mean()) < 1, "the two must make texts of the same length"
    assert all(set(text.split()) <= set(task.vocabulary) for text in map(task.text, [sample[0], sample[1]]))
    tokens = len(sample.tokens)

    def with_labels() -> None:
        for batch in batches:
            dict(task.sample(Stream(), batch).labels)

    times: dict[str, list[float]] = {"plain Python": [], "bios": [], "bios, all labels": []}
    few = max(1, count // 16)
    for _ in range(arguments.repeats):
        times["plain Python"].append(seconds(lambda: plain(few)) * count / few)
        times["bios"].append(seconds(lambda: [task.sample(Stream(), batch) for batch in batches]))
        times["bios, all labels"].append(seconds(with_labels))
    reference = statistics.median(times["plain Python"])
    print(f"{arguments.people:,} persons, {tokens / count:.1f} tokens a biography, batches of {arguments.batch}")
    for name, measured in times.items():
        median = statistics.median(measured)
        ratio = f"ratio {reference / median:6.1f}   (target {TARGET})" if name != "plain Python" else ""
        print(f"  {name:18} {tokens / median / 1e6:8.2f} M tokens/s {count / median:12,.0f} biographies/s   {ratio}")


if __name__ == "__main__":
    main()
