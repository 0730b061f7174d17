"""All architectures in one table: contract, cohort equality, parameters, training rate alone and in a cohort of 16.

    python tests/benchmarks/bench_models.py [--width 32] [--layers 2] [--heads 2] [--members 16] [--repeats 5]

contract     its contract test (tests/contracts/test_model.py) passes
cohort       largest difference of a member's hidden states from those of the same model alone, over the largest state
tokens/s     whole training steps (loss on every token, AdamW) on all cores, medians over the repeats, in turns;
             alone is a cohort of one
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from physlm.models import ModelConfig, parse, registry
from physlm.models.decoder import Decoder, initialise
from physlm.training.cohort import Cohort
from physlm.training.config import OptimizerConfig
from physlm.training.malloc import keep_freed_memory

VOCABULARY, BATCH, CONTEXT, STEPS = 69, 32, 32, 2
CONTRACT = Path(__file__).parents[1] / "contracts" / "test_model.py"


def contracts() -> dict[str, str]:
    """'ok', or how many tests failed, for each architecture; one run of the contract test."""
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--no-header", "--tb=no", str(CONTRACT)]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    results = {}
    for name in registry:
        own = [line.split()[0] for line in lines if line.split(" - ")[0].endswith((f"[{name}]", f"-{name}]"))]
        failed = sum(outcome in ("FAILED", "ERROR") for outcome in own)
        results[name] = f"{failed} of {len(own)} fail" if failed else ("ok" if own else "not tested")
    return results


def difference(config: ModelConfig, members: int) -> float:
    """Of one member's states in the cohort from its states alone, relative to the largest."""
    tokens = torch.randint(0, VOCABULARY, (members, 4, CONTEXT))
    states = []
    for seeds, batch in ((list(range(members)), tokens), ([members - 1], tokens[-1:])):
        decoder = Decoder(config, VOCABULARY, len(seeds)).eval()
        initialise(decoder, seeds)
        with torch.no_grad():
            states.append(decoder(batch)[-1])
    together, alone = states
    return float((together - alone).abs().max() / alone.abs().max())


def rates(config: ModelConfig, members: int, repeats: int) -> tuple[float, float]:
    """Tokens per second alone and in a cohort."""
    sizes = (1, members)
    cohorts = [
        Cohort(config, VOCABULARY, [OptimizerConfig()] * size, list(range(size)), torch.device("cpu")) for size in sizes
    ]
    times: list[list[float]] = [[], []]
    for repeat in range(repeats + 1):
        for cohort, spent in zip(cohorts, times, strict=True):
            tokens = torch.randint(0, VOCABULARY, (len(cohort), BATCH, CONTEXT + 1))
            wanted = torch.ones(tokens.shape, dtype=torch.bool)
            seen = None if config.causal else tokens
            begin = time.perf_counter()
            for _ in range(STEPS):
                cohort.step(tokens, wanted, [1.0] * len(cohort), seen)
            if repeat:
                spent.append(time.perf_counter() - begin)
    alone, together = (
        size * BATCH * CONTEXT * STEPS / statistics.median(spent) for size, spent in zip(sizes, times, strict=True)
    )
    return alone, together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, value in (("width", 32), ("layers", 2), ("heads", 2), ("members", 16), ("repeats", 5)):
        parser.add_argument(f"--{option}", type=int, default=value)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    passed = contracts()
    print(
        f"width {options.width}, {options.layers} layers, {options.heads} heads, vocabulary {VOCABULARY}, "
        f"batch {BATCH}, context {CONTEXT}, {torch.get_num_threads()} threads"
    )
    print(
        f"{'':16}{'contract':>10}{'cohort':>10}{'parameters':>12}{'alone':>14}{f'of {options.members}':>14}{'ratio':>8}"
    )
    for name in registry:
        size = {"layers": options.layers, "heads": options.heads, "width": options.width}
        config = parse({"type": name, **size})
        alone, together = rates(config, options.members, options.repeats)
        print(
            f"{name:16}{passed[name]:>10}{difference(config, options.members):>10.1e}"
            f"{config.parameters(VOCABULARY):>12,}{alone / 1e3:>8.0f} k t/s{together / 1e3:>8.0f} k t/s"
            f"{together / alone:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
