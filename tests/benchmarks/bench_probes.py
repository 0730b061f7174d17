"""Probe training: all models, layers and targets at once against a loop of scikit-learn's LogisticRegression.

    python tests/benchmarks/bench_probes.py [--members 2] [--instances 600] [--repeats 3]

Models of width 48 with 4 layers are trained a little on a grammar of 5 levels, so that there is something to read.
Both see the same states, labels and split, and minimise the same loss: the reference with StandardScaler (C = 1, its
own stopping rule, at most 1,000 iterations). In turns on as many threads as torch is given; medians over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from physlm.measures.measure import Member
from physlm.models.gpt2 import Gpt2Config
from physlm.probes.fitting import softmax
from physlm.probes.fitting.states import all_states
from physlm.probes.linear import Linear
from physlm.probes.samples import sample
from physlm.tasks.cfg import Cfg, CfgConfig
from physlm.tasks.task import Stream
from physlm.training.cohort import Cohort
from physlm.training.config import OptimizerConfig
from physlm.training.malloc import keep_freed_memory
from physlm.training.packing import Packer, StreamSource

STEPS, BATCH = 150, 32


def trained(task: Cfg, members: int) -> Cohort:
    """A cohort after some steps."""
    config = Gpt2Config(layers=4, heads=4, width=48)
    optimizers = [OptimizerConfig(lr=4e-3)] * members
    cohort = Cohort(config, len(task.vocabulary), optimizers, list(range(members)), torch.device("cpu"))
    sources = [StreamSource(task, Stream("train", seed)) for seed in range(members)]
    packers = [Packer(source, task.max_length, task.separator) for source in sources]
    for _ in range(STEPS):
        windows = [packer.next(BATCH) for packer in packers]
        tokens = torch.from_numpy(np.stack([w.tokens for w in windows])).long()
        cohort.step(tokens, torch.from_numpy(np.stack([w.loss for w in windows])), [1.0] * members)
    return cohort


def one_by_one(states: NDArray[Any], labels: NDArray[Any], test: NDArray[Any]) -> NDArray[Any]:
    """states [M, S, n, d], labels [M, K, n], test [M, n] -> accuracy [M, S, K]."""
    shape = (*states.shape[:2], labels.shape[1])
    accuracy = np.empty(shape)
    for m, s, k in np.ndindex(*shape):
        known = labels[m, k] >= 0
        train, held = known & ~test[m], known & test[m]
        scaler = StandardScaler().fit(states[m, s][train])
        fit = LogisticRegression(C=1.0, max_iter=1000).fit(scaler.transform(states[m, s][train]), labels[m, k][train])
        accuracy[m, s, k] = fit.score(scaler.transform(states[m, s][held]), labels[m, k][held])
    return accuracy


def at_once(states: NDArray[Any], labels: NDArray[Any], classes: list[int], test: NDArray[Any]) -> NDArray[Any]:
    """The same, with the platform's solver."""
    right = softmax.hits(
        torch.from_numpy(states), torch.from_numpy(labels), torch.tensor(classes), torch.from_numpy(test)
    ).numpy()
    held = (labels >= 0) & test[:, None]
    accuracy: NDArray[Any] = (right & held[:, None]).sum(-1) / held[:, None].sum(-1)
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--instances", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    task = Cfg(CfgConfig())
    decoder = trained(task, options.members).decoder.requires_grad_(False)
    members = [Member(task, seed, task.max_length, 1) for seed in range(options.members)]
    targets = Linear.targets(task)
    drawn = sample(members, targets, count=options.instances)
    labels = drawn.labels[:, 0].reshape(options.members, len(targets), -1)
    states = all_states(decoder, torch.from_numpy(drawn.tokens)).flatten(2, 3).transpose(0, 1).numpy()
    there = [np.flatnonzero((own >= 0).any(0)) for own in labels]
    n = min(map(len, there))
    states = np.stack([own[:, where[:n]] for own, where in zip(states, there, strict=True)])
    labels = np.stack([own[:, where[:n]] for own, where in zip(labels, there, strict=True)]).astype(np.int64)
    context = drawn.tokens.shape[2]
    test = np.stack([own.repeat(context)[where[:n]] for own, where in zip(drawn.test, there, strict=True)])

    times: dict[str, list[float]] = {"one by one": [], "at once": []}
    accuracy: dict[str, NDArray[Any]] = {}
    fits = int(np.prod((*states.shape[:2], len(targets))))
    with threadpool_limits(torch.get_num_threads()):
        for _ in range(options.repeats):
            for name in times:
                begin = time.perf_counter()
                accuracy[name] = (
                    one_by_one(states, labels, test)
                    if name == "one by one"
                    else at_once(states, labels, list(targets.values()), test)
                )
                times[name].append(time.perf_counter() - begin)
    rate = {name: fits / statistics.median(seconds) for name, seconds in times.items()}
    ratio = statistics.median(a / b for a, b in zip(times["one by one"], times["at once"], strict=True))
    gap = accuracy["at once"] - accuracy["one by one"]
    print(
        f"{fits} probes of {len(targets)} targets on {n:,} states of width {states.shape[3]}, "
        f"{torch.get_num_threads()} threads: one by one {rate['one by one']:.1f}/s, at once {rate['at once']:.1f}/s, "
        f"ratio {ratio:.1f}; mean accuracy {accuracy['one by one'].mean():.4f} and {accuracy['at once'].mean():.4f}, "
        f"largest difference {np.abs(gap).max():.4f}"
    )


if __name__ == "__main__":
    main()
