"""A cohort: each member gets what it gets alone, whatever the others do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config, Gpt2ExpertsConfig
from physlm.training.cohort import Cohort, micro_batches
from physlm.training.config import OptimizerConfig
from physlm.training.loss import token_losses, weighted_loss
from physlm.training.ranks import Ranks

MODEL = Gpt2Config(layers=2, heads=2, width=16)
VOCABULARY = 11
CPU = torch.device("cpu")
OPTIMIZERS = [
    OptimizerConfig(lr=1e-2, weight_decay=0.1),
    OptimizerConfig(lr=3e-3, clip_norm=0.1),
    OptimizerConfig(lr=1e-3, weight_decay=0.0, beta2=0.95),
]
# Losses after 30 steps alone and in company agree to this; the order of summation may differ between batch shapes.
TOLERANCE = 1e-5


def batch(step: int, member: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + member)
    tokens = torch.randint(0, VOCABULARY, (4, 9), generator=generator)
    return tokens, torch.rand(4, 9, generator=generator) < 0.7


def train(members: list[int], steps: int) -> tuple[Cohort, Tensor]:
    cohort = Cohort(MODEL, VOCABULARY, [OPTIMIZERS[m] for m in members], members, CPU)
    for step in range(steps):
        tokens, loss = (torch.stack(x) for x in zip(*(batch(step, m) for m in members), strict=True))
        losses, _ = cohort.step(tokens, loss, [1 - step / 100] * len(members))
    return cohort, losses


@pytest.mark.slow
@pytest.mark.parametrize("member", range(3))
def test_a_member_gets_in_company_what_it_gets_alone(member: int) -> None:
    company, losses = train([0, 1, 2], 30)
    alone, loss = train([member], 30)
    torch.testing.assert_close(losses[member], loss[0], rtol=TOLERANCE, atol=0)
    torch.testing.assert_close(company.values[member], alone.values[0], rtol=1e-4, atol=TOLERANCE)


def test_members_that_stay_dont_notice_those_that_leave() -> None:
    whole, _ = train([0, 1, 2], 20)
    left, _ = train([0, 1, 2], 10)
    left.keep([0, 2])
    assert len(left) == 2
    for step in range(10, 20):
        tokens, loss = (torch.stack(x) for x in zip(*(batch(step, m) for m in (0, 2)), strict=True))
        left.step(tokens, loss, [1 - step / 100] * 2)
    torch.testing.assert_close(left.values, whole.values[[0, 2]], rtol=1e-4, atol=TOLERANCE)


def test_a_diverged_member_harms_no_other() -> None:
    cohort, _ = train([0, 1, 2], 5)
    with torch.no_grad():
        cohort.values[1] = float("nan")
    sound, _ = train([0, 1, 2], 5)
    for step in range(5, 10):
        tokens, loss = (torch.stack(x) for x in zip(*(batch(step, m) for m in range(3)), strict=True))
        losses, _ = cohort.step(tokens, loss, [1.0] * 3)
        sound.step(tokens, loss, [1.0] * 3)
    assert losses.isnan().tolist() == [False, True, False]
    assert torch.equal(cohort.values[[0, 2]], sound.values[[0, 2]])


@pytest.mark.parametrize("at_once", [1, 2, 4, None])
def test_the_balance_loss_of_experts_counts_once_however_many_passes_a_step_takes(at_once: int | None) -> None:
    """All windows are alike, so that the experts' load is the same in each part of the batch."""
    model = Gpt2ExpertsConfig(layers=2, heads=1, width=8, experts=4, capacity=4, balance=2.0)
    tokens = torch.arange(9).remainder(VOCABULARY).expand(1, 6, 9)
    wanted = torch.ones(1, 6, 9, dtype=torch.bool)

    def after_a_step(at_once: int | None, **knobs: float) -> tuple[Tensor, Tensor, Tensor]:
        config = model.model_copy(update=knobs)
        cohort = Cohort(config, VOCABULARY, [OPTIMIZERS[0]], [0], CPU, micro_batch_size=at_once)
        return *cohort.step(tokens, wanted, [1.0]), cohort.first

    whole, parts = after_a_step(None), after_a_step(at_once)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    without = after_a_step(at_once, balance=0.0)
    assert (without[2] - parts[2]).abs().max() > 0.1 * parts[2].abs().max()  # it matters here


def test_parts_of_a_batch_are_all_of_it() -> None:
    tokens = torch.randint(0, VOCABULARY, (2, 7, 9))
    wanted = torch.rand(2, 7, 9) < 0.7
    for ranks in (1, 2, 3):
        found = [part for rank in range(ranks) for part in micro_batches(tokens, wanted, Ranks(rank, ranks), 2)]
        assert sum(part.fraction for part in found) == pytest.approx(1)
        torch.testing.assert_close(sum(part.weights.sum(1) for part in found), torch.ones(2))
        assert sum(part.inputs.shape[1] for part in found) == 7


@pytest.mark.slow
def test_it_is_torchs_adamw() -> None:
    """One member against torch.optim.AdamW with torch's own loss and clipping."""
    cohort, _ = train([0], 25)
    decoder = Decoder(MODEL, VOCABULARY, 1)
    initialise(decoder, [0])
    settings = OPTIMIZERS[0]
    spared = [p for n, p in decoder.named_parameters() if n.endswith(("gain", "bias"))]
    decayed = [p for n, p in decoder.named_parameters() if not n.endswith(("gain", "bias"))]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": spared, "weight_decay": 0.0}],
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
    for step in range(25):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * (1 - step / 100)
        tokens, loss = batch(step, 0)
        logits = decoder.logits(decoder(tokens[None, :, :-1]))[0].view(4, 8, -1)
        cross_entropy(logits[loss[:, 1:]], tokens[:, 1:][loss[:, 1:]]).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in decoder.named_parameters():
        where, size = cohort.slices[name]
        # A bias of all keys alike has no gradient but rounding, which Adam makes into small steps.
        torch.testing.assert_close(cohort.values[0, where].view(size), parameter[0], rtol=1e-3, atol=2e-4)


def test_the_loss_and_its_gradient_are_torchs() -> None:
    torch.manual_seed(0)
    logits = (20 * torch.randn(2, 30, VOCABULARY)).requires_grad_()
    targets = torch.randint(0, VOCABULARY, (2, 30))
    weights = torch.rand(2, 30)
    ours = weighted_loss(logits, targets, weights)
    (gradient,) = torch.autograd.grad((ours * torch.tensor([1.0, -3.0])).sum(), logits)
    nll = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(2, 30)
    (expected,) = torch.autograd.grad(((nll * weights).sum(1) * torch.tensor([1.0, -3.0])).sum(), logits)
    torch.testing.assert_close(ours, (nll * weights).sum(1))
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(token_losses(logits, targets), nll)
