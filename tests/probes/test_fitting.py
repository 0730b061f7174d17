"""The arithmetic of probes against what is known to be right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.models.hidden_states import changed_input
from physlm.probes.fitting import softmax
from physlm.probes.fitting.lbfgs import minimise
from physlm.probes.fitting.states import all_states, states
from physlm.probes.fitting.whitening import whitening


def make(members: int = 2) -> Decoder:
    decoder = Decoder(Gpt2Config(layers=3, heads=2, width=8), 11, members)
    initialise(decoder, list(range(members)))
    return decoder.eval().requires_grad_(False)


@pytest.mark.slow
def test_states_are_the_embedding_the_blocks_outputs_and_what_the_decoder_returns() -> None:
    decoder = make()
    tokens = torch.randint(0, 11, (2, 5, 7), generator=torch.Generator().manual_seed(0))
    found = states(decoder, tokens)
    assert found.shape == (4, 2, 35, 8)
    x = torch.stack([decoder.embedding[m][tokens[m]].flatten(0, 1) for m in range(2)])
    torch.testing.assert_close(found[0], x)
    for layer in range(2):
        x = decoder.blocks[layer](x, 5)
        torch.testing.assert_close(found[layer + 1], x)
    torch.testing.assert_close(found[3], decoder(tokens))
    assert not any(block._forward_pre_hooks for block in decoder.blocks)


def test_rows_may_be_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make()
    tokens = torch.randint(0, 11, (2, 9, 7), generator=torch.Generator().manual_seed(0))
    whole = all_states(decoder, tokens)
    monkeypatch.setattr("physlm.probes.fitting.states._MAX_TOKENS", 2 * 7 * 2)
    torch.testing.assert_close(all_states(decoder, tokens), whole)


def test_an_updated_embedding_is_what_the_first_block_sees() -> None:
    decoder = make(1)
    tokens = torch.zeros(1, 2, 3, dtype=torch.int64)
    with changed_input(decoder.blocks[0], lambda x: x * 0 + decoder.embedding[:, 4:5]):
        changed = decoder(tokens)
    torch.testing.assert_close(changed, decoder(tokens + 4))


def test_whitened_features_are_uncorrelated_and_what_is_constant_vanishes() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 500, 5, generator=generator) @ torch.randn(2, 5, 5, generator=generator) + 3
    x[:, :, 4] = 7.0
    x[:, 400:] = 1e3  # absent
    present = (torch.arange(500) < 400).expand(2, -1)
    white = whitening(x, present)
    z = white(x)[:, :400]
    covariance = z.transpose(1, 2) @ z / 400
    found = covariance.diagonal(dim1=1, dim2=2).sort().values
    torch.testing.assert_close(found, torch.tensor([0.0, 1, 1, 1, 1]).expand(2, -1), atol=1e-3, rtol=0)
    weights = torch.randn(2, 5, 1, generator=generator)
    standard = x[:, :400].std(1, correction=0).clamp(min=1e-6)
    back = (white.matrix @ weights).squeeze(2) * standard  # on standardised features
    ridge = (white.ridge * weights.squeeze(2) ** 2).sum(1)
    torch.testing.assert_close(ridge, (back**2)[:, :4].sum(1), rtol=1e-3, atol=1e-3)


def test_many_problems_are_minimised_at_once() -> None:
    """Convex problems of very different scale, and Rosenbrock's valley among them."""
    scales = torch.logspace(-3, 3, 6, dtype=torch.float64)

    def objective(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            bowls = (scales.unsqueeze(1) * (leaf[:6] - 1) ** 2 + (leaf[:6] - 1) ** 4).sum(1)
            a, b = leaf[6]
            valley = (1 - a) ** 2 + 100 * (b - a**2) ** 2
            loss = torch.cat([bowls, valley.unsqueeze(0)])
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    found = minimise(objective, torch.full((7, 2), -1.2, dtype=torch.float64), iterations=300, tolerance=1e-16)
    torch.testing.assert_close(found[3:], torch.ones(4, 2, dtype=torch.float64), atol=1e-4, rtol=0)
    losses, _ = objective(found)
    assert float(losses.max()) < 1e-8


@pytest.mark.parametrize("classes", [3, 5])
def test_it_is_the_logistic_regression_of_scikit_learn(classes: int) -> None:
    """Two models at two layers, three targets of which one is absent in places: the same readings to 0.5 %."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, 2, 1500, 6)).astype(np.float32) @ generator.normal(size=(6, 6)).astype(np.float32)
    maps = generator.normal(size=(2, 6, 3 * classes))
    noise = generator.gumbel(size=(2, 1500, 3, classes))
    labels = ((x[:, 1] @ maps).reshape(2, 1500, 3, classes) + noise).argmax(-1).transpose(0, 2, 1)
    labels[:, 2, ::3] = -1
    test = np.arange(1500) % 3 == 0
    test = np.stack([test, ~np.roll(test, 1)])
    found = softmax.hits(
        torch.from_numpy(x), torch.from_numpy(labels), torch.full((3,), classes), torch.from_numpy(test)
    ).numpy()
    for model, layer, target in np.ndindex(2, 2, 3):
        known = labels[model, target] >= 0
        train = known & ~test[model]
        scaler = StandardScaler().fit(x[model, layer][(labels[model] >= 0).any(0) & ~test[model]])
        reference = LogisticRegression(C=1.0, max_iter=1000, tol=1e-6).fit(
            scaler.transform(x[model, layer][train]), labels[model, target][train]
        )
        expected = reference.predict(scaler.transform(x[model, layer])) == labels[model, target]
        assert (found[model, layer, target] == expected)[known].mean() > 0.995
    assert not found[:, :, 2, ::3].any()


def test_problems_of_different_numbers_of_classes_and_batches_of_models_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 300, 4, generator=generator)
    labels = torch.stack([(x[:, 0, :, 0] > 0).long(), (x[:, 1, :, :3]).argmax(-1)], 1)
    test = torch.rand(3, 300, generator=generator) < 0.3
    together = softmax.hits(x, labels, torch.tensor([2, 3]), test)
    monkeypatch.setattr("physlm.probes.fitting.softmax._ELEMENTS", 1)
    assert (softmax.hits(x, labels, torch.tensor([2, 3]), test) == together).float().mean() > 0.995
    alone = softmax.hits(x[1:2], labels[1:2, 1:], torch.tensor([3]), test[1:2])
    assert (alone[0, :, 0] == together[1, :, 1]).float().mean() > 0.995
    assert together[:, 0, 0].float().mean() > 0.95
    assert together[:, 1, 1].float().mean() > 0.95
