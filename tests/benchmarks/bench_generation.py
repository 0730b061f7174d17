"""Generation: a cohort with a cache against its members one by one, each text read anew for every token.

    python tests/benchmarks/bench_generation.py [--members 8] [--prompts 32] [--repeats 3]

Both write the same tokens at temperature 0 after the same prompts of 16 to 32 tokens, on all cores, in turns; medians
over the repeats. The reference has the best of its kind: all prompts of a model at once, sorted into equal lengths.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import torch

from physlm.models import parse
from physlm.models.decoder import Decoder, initialise
from physlm.models.generation import Prompt, generate
from physlm.training.malloc import keep_freed_memory

VOCABULARY = 65


def alone(decoders: list[Decoder], prompts: list[list[Prompt]]) -> list[list[list[int]]]:
    """Each model by itself; prompts of one length go on together."""
    results = []
    for decoder, own in zip(decoders, prompts, strict=True):
        texts: dict[int, list[int]] = {}
        groups = defaultdict(list)
        for i, prompt in enumerate(own):
            groups[len(prompt.tokens)].append(i)
        for length, rows in groups.items():
            text = torch.tensor(np.stack([own[i].tokens for i in rows])).unsqueeze(0)
            with torch.no_grad():
                for _ in range(own[0].limit):
                    hidden = decoder(text).view(1, len(rows), text.shape[2], -1)[:, :, -1]
                    text = torch.cat([text, decoder.logits(hidden).argmax(-1).unsqueeze(2)], 2)
            for i, row in zip(rows, text[0, :, length:].tolist(), strict=True):
                texts[i] = row
        results.append([texts[i] for i in range(len(own))])
    return results


def together(decoder: Decoder, prompts: list[list[Prompt]]) -> list[list[list[int]]]:
    return [[w.tokens.tolist() for w in own] for own in generate(decoder, prompts)]


def compare(name: str, members: int, count: int, written: int, repeats: int) -> None:
    """Print the rates and their ratio."""
    config = parse({"type": name, "layers": 2, "heads": 2, "width": 32})
    cohort = Decoder(config, VOCABULARY, members).eval()
    initialise(cohort, list(range(members)))
    decoders = []
    for member in range(members):
        decoders.append(Decoder(config, VOCABULARY, 1).eval())
        initialise(decoders[-1], [member])
    rng = np.random.default_rng(0)
    prompts = [
        [Prompt(rng.integers(0, VOCABULARY, rng.integers(16, 33)), (), written) for _ in range(count)]
        for _ in range(members)
    ]
    times: dict[str, list[float]] = {"alone": [], "together": []}
    same = 0.0
    for _ in range(repeats):
        begin = time.perf_counter()
        reference = alone(decoders, prompts)
        middle = time.perf_counter()
        found = together(cohort, prompts)
        times["together"].append(time.perf_counter() - middle)
        times["alone"].append(middle - begin)
        pairs = [pair for x, y in zip(reference, found, strict=True) for pair in zip(x, y, strict=True)]
        same = float(np.mean([a == b for a, b in pairs]))
    total = members * count * written
    slow, fast = (total / statistics.median(times[kind]) for kind in ("alone", "together"))
    ratio = statistics.median(a / b for a, b in zip(times["alone"], times["together"], strict=True))
    print(
        f"{name:8s} {members} members, {count} prompts each, {written:3d} tokens written: one by one without a cache "
        f"{slow / 1e3:6.1f} k tokens/s, cohort with a cache {fast / 1e3:6.1f} k tokens/s, ratio {ratio:5.1f}; "
        f"{same:.1%} of the texts alike",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    print(f"{torch.get_num_threads()} threads, width 32, 2 layers, prompts of 16 to 32 tokens")
    for name in ("gpt2", "llama", "gla"):
        for written in (32, 128):
            compare(name, options.members, options.prompts, written, options.repeats)


if __name__ == "__main__":
    main()
