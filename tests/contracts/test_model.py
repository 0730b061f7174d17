"""What every architecture, mixer and MLP must do: a new one in physlm.models is tested here by being there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from physlm.models import parse, registry
from physlm.models.architecture import PARTS, DecoderConfig
from physlm.models.decoder import Decoder, initialise
from physlm.models.mixers.mixer import Mixer
from physlm.models.parts.cache import Cache
from physlm.models.parts.convolution import Convolution
from physlm.models.parts.part import Part

SIZE = {"layers": 2, "heads": 2, "width": 16}
# Combinations of knobs of all blocks that no named architecture has.
VARIANTS: dict[str, dict[str, Any]] = {
    "nope": {"type": "llama", "positions": "none"},
    "sliding-window": {"type": "mistral", "window": 5},
    "no-mlp": {"type": "gpt2", "mlp": "none", "canon": "AB"},
    "no-bias-tied-llama": {"type": "llama", "tied": True},
    "layer-norm-no-bias": {"type": "gpt2", "bias": False},
    "one-head": {"type": "gpt2", "heads": 1},
}


def _of_parts() -> Iterator[dict[str, Any]]:
    """Each part with its defaults, with Canon layers where there is a place for them, and as its examples say."""
    for kind, parts in PARTS.items():
        for name, part in parts.items():
            canon = "ABCD" if kind == "mixer" or getattr(part, "has_canon_d", False) else "ABC"
            for knobs in ({}, {"canon": canon, "bias": False, "norm": "rms"}, *part.examples):
                yield {"type": "gpt2", "positions": "none", kind: name, **knobs}


def _id(knobs: dict[str, Any]) -> str:
    skipped = ("type", "positions") if knobs["positions"] == "none" else ("type",)
    return ",".join(f"{knob}={value}" for knob, value in knobs.items() if knob not in skipped)


MODELS = {name: {"type": name} for name in registry} | VARIANTS | {_id(knobs): knobs for knobs in _of_parts()}
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


def assert_same(ours: Tensor, theirs: Tensor, sentence: str, tolerance: float = TOLERANCE) -> None:
    atol = tolerance * max(1.0, float(theirs.detach().abs().max()))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, msg=lambda details: f"{sentence}\n{details}")


def parts_of(decoder: Decoder) -> list[Part[Any]]:
    return [module for module in decoder.modules() if isinstance(module, Part)]


def whereabouts(part: Part[Any]) -> str:
    """A part by its noun, its name and its file, for sentences."""
    parts = PARTS["mixer" if isinstance(part, Mixer) else "mlp"]
    return f"the {parts.noun} {part.name!r} ({parts.file_of(part.name)})"


def parts_told(decoder: Decoder) -> str:
    return " and ".join(sorted(set(map(whereabouts, parts_of(decoder)))))


def test_files_of_parts_and_architectures_are_imported_without_torch() -> None:
    """Plans are made where there is no torch."""
    code = (
        "import importlib, pkgutil, sys\n"
        "from physlm.models import mixers, mlps, registry\n"
        "for package in (mixers, mlps):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "        if 'torch' in sys.modules:\n"
        "            sys.exit(module.name + ' imports torch: import it inside the methods that need it')\n"
        "for config in registry.values(): config().flops_per_token(9, 9)\n"
        "if 'torch' in sys.modules: sys.exit('an architecture imports torch')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_model
def test_the_parameter_count_equals_the_formula(name: str) -> None:
    decoder, config = decoder_of(name, [0]), config_of(name)
    for part in parts_of(decoder):
        own, counted = sum(p.numel() for p in part.parameters()), part.counts(config, CONTEXT).parameters
        assert own == counted, f"{whereabouts(part)} has {own} parameters, but its `counts` say {counted}"
    own, counted = sum(p.numel() for p in decoder.parameters()), config.parameters(VOCABULARY)
    assert own == counted, f"the model has {own} parameters, but its config says {counted}"
    per_row = config.width if config.tied else 2 * config.width
    assert config.parameters(VOCABULARY) - config.parameters(VOCABULARY - 1) == per_row


@pytest.mark.slow
@every_model
def test_matrix_products_are_the_flops_of_the_formula(name: str) -> None:
    """Those that torch counts, less what the parts say that they compute beside their definition."""
    from torch.utils.flop_counter import FlopCounterMode

    context = 64  # whole chunks, and the longest window whose scores are made by plain products
    decoder = decoder_of(name, [0]).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        decoder.logits(decoder(tokens_of(1, context)))
    found = counter.get_total_flops() / (BATCH * context)
    # Convolutions are counted, but not by torch: they are no matrix products.
    convolutions = sum(2 * part.weight.numel() for part in decoder.modules() if isinstance(part, Convolution))
    excess = sum(part.excess_flops(BATCH, context) for part in parts_of(decoder)) - convolutions
    expected = decoder.config.flops_per_token(VOCABULARY, context) + excess
    assert found == pytest.approx(expected), (
        f"torch counts {found:,.0f} FLOPs per token, the formulas {expected:,.0f}, of which {excess:,.0f} beside the "
        f"definition; see `counts` and `excess_flops` of {parts_told(decoder)}"
    )


@pytest.mark.slow
@every_model
@pytest.mark.parametrize("training", [True, False])
def test_no_position_sees_the_future_unless_it_is_an_encoder(name: str, training: bool) -> None:
    decoder = decoder_of(name, [0, 1]).train(training)
    for part in parts_of(decoder) if decoder.config.causal else ():
        x = torch.randn(2, BATCH, CONTEXT, SIZE["width"], generator=torch.Generator().manual_seed(0))
        changed = torch.cat([x[:, :, :40], -x[:, :, 40:]], 2)
        with torch.no_grad():
            before, after = (part(y.flatten(1, 2), BATCH).view(x.shape)[:, :, :40] for y in (x, changed))
        assert_same(after, before, f"{whereabouts(part)} lets tokens see later ones")
    for at in (7, 40, 69):
        tokens = tokens_of(2)
        changed = tokens.clone()
        changed[:, :, at:] = (changed[:, :, at:] + 1) % VOCABULARY
        with torch.no_grad():
            before, after = (decoder(t).view(2, BATCH, CONTEXT, -1) for t in (tokens, changed))
        assert not torch.allclose(before[:, :, at:], after[:, :, at:], atol=1e-2), "tokens don't matter"
        if not decoder.config.causal:
            assert not torch.allclose(before[:, :, :at], after[:, :, :at], atol=1e-3), "an encoder sees all tokens"
            continue
        assert_same(
            after[:, :, :at],
            before[:, :, :at],
            f"states of the first {at} tokens change with a token after them, though no part lets them see it",
        )


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
    assert_same(many[1], one[0], "a member's states depend on who is beside it in the cohort")
    for (parameter_name, many_values), (_, values) in zip(
        together.named_parameters(), alone.named_parameters(), strict=True
    ):
        assert torch.equal(many_values[1], values[0]), f"{parameter_name} is drawn otherwise in a cohort than alone"
        same = torch.equal(many_values[0], many_values[1])
        constant = many_values[0].unique().numel() == 1
        assert same == constant, f"{parameter_name} is drawn alike for different seeds"
    for parameter_name, gradient in one_gradients.items():
        sentence = f"a member's gradient of {parameter_name} depends on who is beside it in the cohort"
        assert_same(many_gradients[parameter_name][1], gradient[0], sentence, 1e-4)


@every_model
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    decoder = decoder_of(name, [0, 1])
    tokens = tokens_of(2)
    if not decoder.config.causal:
        tokens[:, 0, 5] = VOCABULARY  # a hidden one
    decoder.logits(decoder(tokens)).square().sum().backward()
    for parameter_name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, f"{parameter_name} plays no part in what the model says"
        assert parameter.grad.isfinite().all(), f"the gradient of {parameter_name} is not finite"
        if not parameter_name.endswith("qkv.bias"):  # a bias of all keys alike moves no attention
            assert (parameter.grad != 0).any(), f"the gradient of {parameter_name} is zero"


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
    assert_same(
        torch.cat(pieces, 2),
        whole,
        f"going on from a cache gives other states than all tokens at once; there are {parts_told(decoder)}",
    )
    numbers, counted = cache.numbers / (2 * BATCH), decoder.config.cache_numbers(CONTEXT)
    assert numbers == counted, (
        f"the cache holds {numbers:g} numbers of a sequence, but `cached` in the `counts` of {parts_told(decoder)} "
        f"come to {counted}"
    )


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
    assert_same(rest, whole[:, rows, 8:10], "sequences feel that others have left the batch")
    cache.keep(torch.tensor([[1], [0]]))  # another one of each member
    rest = decoder.step(torch.stack([tokens[:1, 0, 10:], tokens[1:, 2, 10:]]), cache).view(2, 2, -1)
    assert_same(rest, torch.stack([whole[0, 0, 10:], whole[1, 2, 10:]]), "sequences of members are mixed up")


@pytest.mark.slow
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
    counted = config.activations_per_token(VOCABULARY, context) * BATCH * context
    assert 0.5 < counted / numbers < 2, (
        f"autograd keeps {numbers:,.0f} numbers, the formulas estimate {counted:,.0f}; see `kept` in `counts` of "
        f"{parts_told(decoder)}"
    )


@pytest.mark.parametrize("name", PARTS["mixer"])
def test_mixers_say_where_their_queries_and_values_are(name: str) -> None:
    """Without queries, keys play no part; without values, the mixer says nothing. LoRA updates these columns."""
    config = parse({**SIZE, "type": "gpt2", "positions": "none", "mixer": name, "bias": False})
    assert isinstance(config, DecoderConfig)
    mixer = PARTS["mixer"][name](config, 2)
    assert isinstance(mixer, Mixer)
    if not mixer.lora_columns:
        pytest.skip("it declares none")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.normal_(std=0.5)
    ((matrix, blocks),) = mixer.lora_columns.items()
    weight = mixer.get_parameter(matrix)
    x = torch.randn(2, 3 * 7, SIZE["width"])
    *queries, values = blocks
    keys = torch.ones(weight.shape[2], dtype=torch.bool)
    for block in blocks:
        keys[block] = False
    with torch.no_grad():
        assert mixer(x, 3).any()
        if queries:
            weight[:, :, queries[0]] = 0
            before = mixer(x, 3)
            weight[:, :, keys] += 1
            assert_same(mixer(x, 3), before, f"{matrix}: keys play a part without the columns said to be queries")
        weight[:, :, values] = 0
        assert not mixer(x, 3).any(), f"{matrix}: there is an output without the columns said to be values"
