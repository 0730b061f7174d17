"""Generation: what a model would write alone, token by token, without a cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physlm import randomness
from physlm.models import generation, parse, registry
from physlm.models.decoder import Decoder, initialise
from physlm.models.generation import Prompt, Written, generate

VOCABULARY, MEMBERS = 11, 3
DECODERS = [name for name in registry if parse({"type": name}).causal]
KEYS = [randomness.key("test", member) for member in range(MEMBERS)]


def decoder_of(name: str = "gpt2", members: Sequence[int] = range(MEMBERS), **knobs: object) -> Decoder:
    config = parse({"type": name, "layers": 2, "heads": 2, "width": 16, **knobs})
    decoder = Decoder(config, VOCABULARY, len(members)).eval()
    initialise(decoder, list(members))
    with torch.no_grad():  # likely enough to be sure of what comes next, and yet to end now and then
        (decoder.embedding if decoder.unembedding is None else decoder.unembedding).mul_(3)
    return decoder


def some_prompts(count: int = 9, limit: int = 40) -> list[list[Prompt]]:
    """Ragged, in another order for each member, one fewer for each; the last one has nothing to stop at."""
    rng = np.random.default_rng(0)
    return [
        [
            Prompt(
                rng.integers(0, VOCABULARY, rng.integers(1, 12)),
                stop=(0, 7) if i else (),
                limit=int(rng.integers(1, limit)),
                index=100 + i,
            )
            for i in range(count - m)
        ]
        for m in range(MEMBERS)
    ]


def alone(decoder: Decoder, member: int, prompt: Prompt, temperature: float, key: int) -> tuple[list[int], float]:
    """The reference: the whole text read anew for each token."""
    tokens, total = [int(t) for t in prompt.tokens], 0.0
    draws = (randomness.words(key, np.array([prompt.index]), prompt.limit)[0] + 0.5) / 2**32
    for draw in draws:
        text = torch.zeros(decoder.members, 1, len(tokens), dtype=torch.int64)
        text[member, 0] = torch.tensor(tokens)
        with torch.no_grad():
            logits = decoder.logits(decoder(text))[member, -1].double().numpy()
        shares = np.exp((logits - logits.max()) / (temperature or 1.0))
        shares /= shares.sum()
        token = int(np.searchsorted(shares.cumsum(), draw, side="right")) if temperature else int(logits.argmax())
        tokens.append(token)
        total += float(np.log(shares[token]))
        if token in prompt.stop:
            break
    return tokens[len(prompt.tokens) :], total


def texts(written: Sequence[Sequence[Written]]) -> list[list[list[int]]]:
    return [[w.tokens.tolist() for w in own] for own in written]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("name", DECODERS)
def test_it_writes_what_the_model_writes_alone_without_a_cache(name: str, temperature: float) -> None:
    decoder, prompts = decoder_of(name), some_prompts()
    written = generate(decoder, prompts, temperature=temperature, keys=KEYS)
    assert [len(own) for own in written] == [9, 8, 7]
    for m, own in enumerate(prompts):
        for i in (0, 1, len(own) - 1):
            expected, log_probability = alone(decoder, m, own[i], temperature, KEYS[m])
            assert written[m][i].tokens.tolist() == expected
            assert written[m][i].log_probability == pytest.approx(log_probability, abs=1e-3)
            assert written[m][i].ended == (expected[-1] in own[i].stop)


@pytest.mark.slow
def test_the_result_depends_neither_on_the_batch_nor_on_the_cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = some_prompts()
    together = texts(generate(decoder_of(), prompts, temperature=1.0, keys=KEYS))
    assert len({len(text) for own in together for text in own}) > 5
    for m in range(MEMBERS):
        assert texts(generate(decoder_of(members=[m]), [prompts[m]], temperature=1.0, keys=[KEYS[m]])) == [together[m]]
    backwards = [own[::-1] for own in prompts]
    assert texts(generate(decoder_of(), backwards, temperature=1.0, keys=KEYS)) == [own[::-1] for own in together]
    monkeypatch.setattr(generation, "_MAX_BATCH_SEQUENCES", {"cpu": 2 * MEMBERS})
    monkeypatch.setattr(generation, "_MAX_PREFILL_TOKENS", 2)
    assert texts(generate(decoder_of(), prompts, temperature=1.0, keys=KEYS)) == together


def test_draws_follow_the_models_distribution() -> None:
    decoder = decoder_of(members=[0])
    count, temperature = 4000, 1.5
    prompts = [Prompt(np.array([3, 1]), (), 1, i) for i in range(count)]
    written = generate(decoder, [prompts], temperature=temperature, keys=[5])[0]
    with torch.no_grad():
        shares = (decoder.logits(decoder(torch.tensor([[[3, 1]]])))[0, -1] / temperature).softmax(-1).numpy()
    found = np.bincount([w.tokens[0] for w in written], minlength=VOCABULARY) / count
    assert np.abs(found - shares).max() < 4 * np.sqrt(0.25 / count)
    assert found.max() < 0.9
    again = generate(decoder, [prompts], temperature=temperature, keys=[6])[0]
    assert texts([written]) != texts([again])


def test_sequences_that_have_ended_cost_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half stop at once, the other half after 30 tokens: the batch is halved."""
    decoder, seen = decoder_of(members=[0]), []
    step = Decoder.step

    def counted(self: Decoder, tokens: torch.Tensor, cache: generation.Cache) -> torch.Tensor:
        seen.append(tokens.shape[1] * tokens.shape[2])
        return step(self, tokens, cache)

    monkeypatch.setattr(Decoder, "step", counted)
    tokens: NDArray[np.int64] = np.array([1, 2, 3])
    prompts = [Prompt(tokens, (), 1 if i % 2 else 30) for i in range(20)]
    written = generate(decoder, [prompts])[0]
    assert [len(w.tokens) for w in written] == [1 if i % 2 else 30 for i in range(20)]
    assert seen == [60, *[10] * 29]


def test_nothing_and_bad_prompts() -> None:
    decoder = decoder_of()
    assert generate(decoder, [[], [], []]) == [[], [], []]
    some = [[Prompt(np.array([1]), (), 3)], [], []]
    assert [len(own) for own in generate(decoder, some)] == [1, 0, 0]
    for prompt in (Prompt(np.array([], np.int64), (), 3), Prompt(np.array([1]), (), 0)):
        with pytest.raises(ValueError, match="at least one"):
            generate(decoder, [[prompt], [], []])
    for temperature in (-1.0, 1.0):
        with pytest.raises(ValueError, match="temperature"):
            generate(decoder, some, temperature=temperature)
