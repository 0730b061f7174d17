"""Training throughput: a cohort of 16 against the same 16 models one by one in a plain PyTorch loop.

    python tests/benchmarks/bench_cohort.py [--members 16] [--repeats 7] [--widths 16 ...] [--layers 2 ...]

The reference is what one would write by hand: nn.Linear, nn.LayerNorm, scaled_dot_product_attention,
torch.optim.AdamW and clip_grad_norm_. Both see the same tokens, on all cores, in turns; medians over the repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention

from physlm.models.gpt2 import Gpt2Config
from physlm.models.parts.rotary import Rotary
from physlm.training.cohort import Cohort
from physlm.training.config import OptimizerConfig
from physlm.training.malloc import keep_freed_memory

VOCABULARY, BATCH, CONTEXT, STEPS = 69, 32, 24, 2


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.rotary = Rotary(width // heads)

    def forward(self, x: Tensor) -> Tensor:
        batch, context, width = x.shape
        heads = self.qkv(self.norm1(x)).view(batch, context, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = heads.unbind(0)
        y = scaled_dot_product_attention(self.rotary(q), self.rotary(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, context, width))
        mixed: Tensor = x + self.down(gelu(self.up(self.norm2(x))))
        return mixed


class PlainModel(nn.Module):
    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.Sequential(*(PlainBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.norm(self.blocks(self.embedding(tokens))) @ self.embedding.weight.T
        return logits


def plain_steps(models: list[PlainModel], optimizers: list[torch.optim.Optimizer], tokens: Tensor) -> None:
    for model, optimizer, batch in zip(models, optimizers, tokens, strict=True):
        for _ in range(STEPS):
            loss = cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def cohort_steps(cohort: Cohort, tokens: Tensor, wanted: Tensor) -> None:
    for _ in range(STEPS):
        cohort.step(tokens, wanted, [1.0] * len(cohort))


def compare(width: int, layers: int, heads: int, members: int, repeats: int) -> float:
    """Print the rates and give their ratio."""
    config = Gpt2Config(layers=layers, heads=heads, width=width)
    cohort = Cohort(config, VOCABULARY, [OptimizerConfig()] * members, list(range(members)), torch.device("cpu"))
    models = [PlainModel(width, layers, heads) for _ in range(members)]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in models]
    tokens = torch.randint(0, VOCABULARY, (members, BATCH, CONTEXT + 1))
    wanted = torch.ones(tokens.shape, dtype=torch.bool)
    times: dict[str, list[float]] = {"plain": [], "cohort": []}
    for _ in range(repeats + 1):
        for name, run in (
            ("plain", lambda: plain_steps(models, optimizers, tokens)),
            ("cohort", lambda: cohort_steps(cohort, tokens, wanted)),
        ):
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    trained = members * BATCH * CONTEXT * STEPS
    plain, ours = (trained / statistics.median(times[name][1:]) for name in ("plain", "cohort"))
    ratio = statistics.median(p / c for p, c in zip(times["plain"][1:], times["cohort"][1:], strict=True))
    print(
        f"width {width:3d}, {layers} layers, {heads} heads, {members} members: "
        f"one by one {plain / 1e3:6.0f} k tokens/s, cohort {ours / 1e3:6.0f} k tokens/s, ratio {ratio:.2f}",
        flush=True,
    )
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 24, 32, 64, 128])
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 4, 8])
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, batch {BATCH}, context {CONTEXT}")
    for width in options.widths:
        for layers in options.layers:
            compare(width, layers, 2, options.members, options.repeats)


if __name__ == "__main__":
    main()
