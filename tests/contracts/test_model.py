"""What every architecture must do, whatever its parts: a new one in physlm.models is tested here by being there."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from physlm.models import counts, parse, registry
from physlm.models.architecture import DecoderConfig
from physlm.models.decoder import Decoder, initialise
from physlm.models.parts.cache import Cache
from physlm.models.parts.experts import Experts
from physlm.models.parts.part import MIXERS, MLPS

SIZE = {"layers": 2, "heads": 2, "width": 16}
# Combinations of knobs that no named architecture has.
VARIANTS = {
    "nope": {"type": "llama", "positions": "none"},
    "quarter-rotary": {"type": "llama", "rotary_share": 0.25},
    "half-rotary-grouped": {"type": "gpt2", "rotary_share": 0.5, "group_size": 2},
    "relative-grouped-long": {"type": "gpt2-relative", "group_size": 2, "distances": 7},
    "relative-encoder": {"type": "bert", "positions": "relative", "distances": 7},
    "sliding-window": {"type": "mistral", "window": 5},
    "long-window-relative-canon": {"type": "gpt2-relative", "window": 67, "distances": 9, "canon": "ABCD"},
    "quarter-mlp": {"type": "gpt2", "mlp_size": 0.25},
    "no-mlp": {"type": "gpt2", "mlp": "none", "canon": "AB"},
    "no-bias-tied-llama": {"type": "llama", "tied": True},
    "layer-norm-no-bias": {"type": "gpt2", "bias": False},
    "one-head": {"type": "gpt2", "heads": 1},
    "experts-2-of-4": {"type": "gpt2-experts", "experts": 4, "top_k": 2},
    "experts-tight-no-bias": {"type": "gpt2-experts", "experts": 4, "capacity": 0.5, "bias": False},
    "uniform-canon": {"type": "gpt2-uniform", "canon": "ABCD", "heads": 4},
    "positional-near": {"type": "gpt2-positional", "distances": 5},
    "gla-conv": {"type": "gla", "short_conv": True},
    "gla-canon": {"type": "gla", "canon": "ABCD", "state": 3, "expand": 0.5},
    "mamba2-no-conv": {"type": "mamba2", "short_conv": False, "mlp": "none", "canon": "B"},
    "gdn-no-conv": {"type": "gdn", "short_conv": False, "heads": 4, "expand": 1.0},
}
MODELS = {name: {"type": name} for name in registry} | VARIANTS
VOCABULARY, BATCH, CONTEXT = 13, 3, 70  # windows longer than any chunk, and than those with a path of their own
# Relative to the largest hidden state; summation order differs between batch shapes, and chunks between contexts.
TOLERANCE = 2e-5

every_model = pytest.mark.parametrize("name", list(MODELS))


def config_of(name: str) -> DecoderConfig:
    config = parse(SIZE | MODELS[name])
    assert isinstance(config, DecoderConfig)
    return config


def decoder_of(name: str, seeds: list[int]) -> Decoder:
    """With weights large enough for every part to matter."""
    decoder = Decoder(config_of(name), VOCABULARY, len(seeds))
    initialise(decoder, seeds)
    return decoder


def tokens_of(members: int, context: int = CONTEXT, seed: int = 0) -> Tensor:
    return torch.randint(0, VOCABULARY, (members, BATCH, context), generator=torch.Generator().manual_seed(seed))


def assert_same(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, float(theirs.detach().abs().max())))


def test_every_part_has_its_formulas() -> None:
    assert set(MIXERS) == set(counts.MIXERS)
    assert set(MLPS) == set(counts.MLPS)


def test_configs_and_their_counts_need_no_torch() -> None:
    code = (
        "import sys; from physlm.models import registry\n"
        "for cls in registry.values(): cls().flops_per_token(9, 9)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@every_model
def test_the_parameter_count_equals_the_formula(name: str) -> None:
    decoder, config = decoder_of(name, [0]), config_of(name)
    assert sum(p.numel() for p in decoder.parameters()) == config.parameters(VOCABULARY)
    per_row = config.width if config.tied else 2 * config.width
    assert config.parameters(VOCABULARY) - config.parameters(VOCABULARY - 1) == per_row


def uncounted(decoder: Decoder, context: int) -> float:
    """FLOPs per token that torch counts more than the formula: masked products, products of whole chunks, empty slots.

    Convolutions are the other way round: the formula has them, but torch counts matrix products alone.
    """
    config = decoder.config
    heads, keys, values = config.heads, config.key_size, config.value_size
    gla, pairs = min(16, context), min(32, context)
    window = config.window or context
    seen = context if config.bidirectional else sum(min(t + 1, window) for t in range(context)) / context
    mixer = {
        "attention": round(4 * config.width * (context - seen)),
        "uniform": config.width * (context - 1),
        "positional": config.width * (context - 1),
        "gla": heads * 2 * gla * (keys + values),
        "mamba2": 2 * pairs * (keys + heads * values),
        "gdn": heads * 2 * pairs * (2 * keys + values),
    }[config.mixer]
    total: float = config.layers * mixer
    for part in decoder.modules():
        if isinstance(part, Experts):
            room = int((part.load * BATCH * context * part.top_k).round().max())
            empty = part.experts * room - BATCH * context * part.top_k
            total += empty * 4 * config.width * config.hidden / (BATCH * context)
        elif "weight" in dict(part.named_parameters(recurse=False)) and type(part).__name__ in ("Canon", "Convolution"):
            total -= 2 * part.weight.numel()
    return total


@every_model
def test_matrix_products_are_the_flops_of_the_formula(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    context = 64  # whole chunks, and the longest window whose scores are made by plain products
    decoder = decoder_of(name, [0]).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        decoder.logits(decoder(tokens_of(1, context)))
    per_token = counter.get_total_flops() / (BATCH * context)
    expected = decoder.config.flops_per_token(VOCABULARY, context) + uncounted(decoder, context)
    assert per_token == pytest.approx(expected)


@every_model
@pytest.mark.parametrize("training", [True, False])
def test_no_position_sees_the_future_unless_it_is_an_encoder(name: str, training: bool) -> None:
    decoder = decoder_of(name, [0, 1]).train(training)
    for at in (7, 40, 69):
        tokens = tokens_of(2)
        changed = tokens.clone()
        changed[:, :, at:] = (changed[:, :, at:] + 1) % VOCABULARY
        with torch.no_grad():
            before, after = (decoder(t).view(2, BATCH, CONTEXT, -1) for t in (tokens, changed))
        assert not torch.allclose(before[:, :, at:], after[:, :, at:], atol=1e-2)
        if decoder.config.causal:
            assert_same(after[:, :, :at], before[:, :, :at])
        else:
            assert not torch.allclose(before[:, :, :at], after[:, :, :at], atol=1e-3)


@every_model
def test_a_member_of_a_cohort_is_the_same_model_alone(name: str) -> None:
    """Its start, its states, and its gradients."""
    together, alone = decoder_of(name, [4, 7, 9]), decoder_of(name, [7])
    tokens = tokens_of(3)
    outcomes = []
    for decoder, batch in ((together, tokens), (alone, tokens[1:2])):
        hidden = decoder(batch)
        loss = (decoder.logits(hidden) * torch.linspace(-1, 1, VOCABULARY)).square().mean((1, 2)).sum()
        named = dict(decoder.named_parameters())
        outcomes.append((hidden, dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))))
    (many, many_gradients), (one, one_gradients) = outcomes
    assert_same(many[1], one[0])
    for (parameter_name, many_values), (_, values) in zip(
        together.named_parameters(), alone.named_parameters(), strict=True
    ):
        assert torch.equal(many_values[1], values[0]), parameter_name
        same = torch.equal(many_values[0], many_values[1])
        assert same == (many_values[0].unique().numel() == 1), parameter_name  # drawn ones differ, constants don't
    for parameter_name, gradient in one_gradients.items():
        assert_same(many_gradients[parameter_name][1], gradient[0], 1e-4)


@every_model
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    decoder = decoder_of(name, [0, 1])
    tokens = tokens_of(2)
    if not decoder.config.causal:
        tokens[:, 0, 5] = VOCABULARY  # a hidden one
    decoder.logits(decoder(tokens)).square().sum().backward()
    for parameter_name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        if not parameter_name.endswith("qkv.bias"):  # a bias of all keys alike moves no attention
            assert (parameter.grad != 0).any(), parameter_name


@every_model
def test_going_on_from_a_cache_equals_the_whole(name: str) -> None:
    decoder = decoder_of(name, [0, 1]).eval()
    tokens = tokens_of(2)
    cache = Cache()
    if not decoder.config.causal:
        with pytest.raises(ValueError, match="sees later tokens"):
            decoder.step(tokens, cache)
        return
    whole = decoder(tokens).view(2, BATCH, CONTEXT, -1)
    pieces = [
        decoder.step(part, cache).view(2, BATCH, part.shape[2], -1) for part in tokens.split([2, 37, 1, 1, 29], 2)
    ]
    assert cache.length == CONTEXT
    assert_same(torch.cat(pieces, 2), whole)
    assert cache.numbers == 2 * BATCH * decoder.config.cache_numbers(CONTEXT)


@every_model
def test_sequences_may_leave_a_cache(name: str) -> None:
    decoder = decoder_of(name, [0, 1]).eval()
    if not decoder.config.causal:
        pytest.skip("an encoder has no cache")
    tokens = tokens_of(2, 12)
    cache = Cache()
    decoder.step(tokens[:, :, :8], cache)
    whole = decoder(tokens).view(2, BATCH, 12, -1)
    rows = torch.tensor([2, 0])
    cache.keep(rows)
    rest = decoder.step(tokens[:, rows, 8:10], cache).view(2, 2, 2, -1)
    assert_same(rest, whole[:, rows, 8:10])
    cache.keep(torch.tensor([[1], [0]]))  # another one of each member
    rest = decoder.step(torch.stack([tokens[:1, 0, 10:], tokens[1:, 2, 10:]]), cache).view(2, 2, -1)
    assert_same(rest, torch.stack([whole[0, 0, 10:], whole[1, 2, 10:]]))


@every_model
@pytest.mark.parametrize("context", [24, 128])
def test_the_estimate_of_what_training_keeps_is_near_the_truth(name: str, context: int) -> None:
    """Within a factor of two of the tensors that autograd saves; the planner packs cohorts by it."""
    decoder, config = decoder_of(name, [0]), config_of(name)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = decoder.logits(decoder(tokens_of(1, context))).logsumexp(-1).sum()
    parameters = {p.untyped_storage().data_ptr() for p in decoder.parameters()}
    numbers = sum(size for address, size in kept.items() if address not in parameters) / 4
    assert loss.isfinite()
    ratio = config.activations_per_token(VOCABULARY, context) * BATCH * context / numbers
    assert 0.5 < ratio < 2, ratio
