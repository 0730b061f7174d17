"""One model's training step: physlm's against that of a Hugging Face GPT-2 of the same shape and the same weights.

    pip install --constraint constraints.txt transformers==5.24.0
    python tests/benchmarks/bench_huggingface.py [--repeats 7]

transformers is no dependency of physlm or its tests; without it, this says so and ends. The reference is what a user
would write: GPT2LMHeadModel with its own loss, scaled_dot_product_attention, torch.optim.AdamW and clip_grad_norm_.
Ours is a cohort of one. Both see the same tokens, on all cores, in turns; medians over the repeats. Before timing, the
weights of one are put into the other, and their logits are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from physlm.models.decoder import Decoder
from physlm.models.gpt2 import Gpt2AbsoluteConfig
from physlm.training.cohort import Cohort
from physlm.training.config import OptimizerConfig
from physlm.training.malloc import keep_freed_memory

try:
    from transformers import GPT2Config, GPT2LMHeadModel
except ImportError:
    GPT2Config = GPT2LMHeadModel = None

VOCABULARY, BATCH = 512, 16
SHAPES = ((32, 2, 2, 64), (64, 4, 2, 64), (128, 4, 4, 128), (256, 4, 4, 128))  # width, layers, heads, context


def reference(config: Gpt2AbsoluteConfig) -> Any:
    """Hugging Face's model of the same shape."""
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_positions=config.distances, n_embd=config.width, n_layer=config.layers,
            n_head=config.heads, activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            attn_implementation="sdpa", use_cache=False, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip
    return model.train()


def copy_weights(ours: Decoder, theirs: Any) -> None:
    """Put the weights of our only member into theirs; both keep linear maps as [in, out]."""
    named = {name: parameter[0] for name, parameter in ours.named_parameters()}
    parts = {"attention_norm": "ln_1", "attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj"}
    parts |= {"mlp_norm": "ln_2", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
    body = theirs.transformer
    with torch.no_grad():
        body.wte.weight.copy_(named["embedding"])
        body.wpe.weight.copy_(named["positions"])
        body.ln_f.weight.copy_(named["norm.gain"])
        body.ln_f.bias.copy_(named["norm.bias"])
        for i, block in enumerate(body.h):
            for part, name in parts.items():
                module = block.get_submodule(name)
                kind = "gain" if part.endswith("norm") else "weight"
                module.weight.copy_(named[f"blocks.{i}.{part}.{kind}"])
                module.bias.copy_(named[f"blocks.{i}.{part}.bias"])


def their_step(model: Any, optimizer: torch.optim.Optimizer, tokens: Tensor) -> None:
    optimizer.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def compare(width: int, layers: int, heads: int, context: int, repeats: int) -> None:
    """Print the difference of the logits, both rates, and their ratio."""
    config = Gpt2AbsoluteConfig(width=width, layers=layers, heads=heads, distances=context)
    cohort = Cohort(config, VOCABULARY, [OptimizerConfig()], [0], torch.device("cpu"))
    model = reference(config)
    copy_weights(cohort.decoder, model)
    assert sum(p.numel() for p in model.parameters()) == config.parameters(VOCABULARY)
    tokens = torch.randint(0, VOCABULARY, (BATCH, context))
    with torch.no_grad():
        logits = cohort.decoder.logits(cohort.decoder(tokens.unsqueeze(0)))[0]
        difference = float((logits - model(input_ids=tokens).logits.flatten(0, 1)).abs().max() / logits.abs().max())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    wanted = torch.ones(1, *tokens.shape, dtype=torch.bool)
    times: list[tuple[float, float]] = []
    for _ in range(repeats + 1):
        theirs = timed(lambda: their_step(model, optimizer, tokens))
        times.append((theirs, timed(lambda: cohort.step(tokens.unsqueeze(0), wanted, [1.0]))))
    theirs, ours = (BATCH * context / statistics.median(column) for column in zip(*times[1:], strict=True))
    ratio = statistics.median(a / b for a, b in times[1:])
    print(
        f"width {width:3d}, {layers} layers, {heads} heads, context {context:3d}, {config.parameters(VOCABULARY):>9,} "
        f"parameters: logits differ by {difference:.0e}, Hugging Face {theirs / 1e3:5.1f} k tokens/s, "
        f"physlm {ours / 1e3:5.1f} k tokens/s, ratio {ratio:.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if GPT2LMHeadModel is None:
        print("transformers is not installed: pip install --constraint constraints.txt transformers==5.24.0")
        return
    keep_freed_memory()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, batch {BATCH}, vocabulary {VOCABULARY}")
    for shape in SHAPES:
        compare(*shape, options.repeats)


if __name__ == "__main__":
    main()
