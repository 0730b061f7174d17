"""Activation patching: which states carry a fact to the answer (Vig et al. 2020; Meng et al. 2022, causal tracing).

A model reads a prompt and a counterfactual one that differs in one token, the carrier. The state of one layer and
position of the first run is put into the second: if the answer comes back, this state carried the fact. A probe finds
what can be read; this finds what is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm.catalog import Observation
from physlm.measures.contract import Measure, Member, register
from physlm.measures.twins import untrained
from physlm.tasks.contract import Stream, Task

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder

QUESTIONS = 100  # pairs of prompts
_TOKENS_AT_ONCE = 1 << 16  # of all models together

Array = NDArray[np.float64]


@register
class Patching(Measure):
    """On pairs of prompts of the task, of a model and (`....untrained`) of the same model before training:

    patching.effect    mean of what the fact changes: the difference of the logits of the right answers to the two
                       prompts, less the same in the changed prompt. Chance is 0
    patching.recovery  share of the effect that comes back with the state of one layer (0: the embedding) and position.
                       1 at the carrier in layer 0 and at the last position behind the last layer, by construction
    patching.carrier   mean of the recovery over the layers between, at the carrier: how deep the fact stays there
    patching.last      the same at the last position: how early it has arrived
    patching.other     the same at all other positions: a control where it goes straight from the one to the other

    Standard errors are over pairs, of ratios by the delta method.
    """

    name = "patching"

    @classmethod
    def suits(cls, task: Task[Any]) -> str | None:
        if type(task).counterfactuals is Task.counterfactuals:
            return f"{task.name} has no pairs of prompts that differ in one fact"
        return None

    def take(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        indices = np.arange(QUESTIONS, dtype=np.int64)
        pairs = [m.task.counterfactuals(Stream("test", m.seed), indices) for m in members]
        found: list[list[Observation]] = [[] for _ in members]
        aligned: dict[tuple[int, ...], list[int]] = {}
        for m, own in enumerate(pairs):
            aligned.setdefault(own.clean.shape, []).append(m)
        for control, models in (("", decoder), (".untrained", untrained(decoder, members))):
            for group in aligned.values():
                one = models if len(group) == len(members) else _some(models, group)
                clean, changed, answer, other = (
                    np.stack([getattr(pairs[m], name) for m in group])
                    for name in ("clean", "changed", "answer", "other")
                )
                patched = _patch(one, clean, changed, answer, other)
                for row, m in enumerate(group):
                    found[m] += _observations(pairs[m].carrier, patched.of(row), control)
        return found


def _some(decoder: Decoder, members: Sequence[int]) -> Decoder:
    import torch

    from physlm.models.decoder import Decoder

    made = Decoder(decoder.config, decoder.vocabulary, len(members)).to(decoder.embedding.device)
    named = dict(decoder.named_parameters())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(named[name][list(members)])
    return made.eval().requires_grad_(False)


@dataclass(frozen=True)
class _Patched:
    """Differences of logits, answer less other: clean and changed [M, n], patched [M, layers + 1, T, n]."""

    clean: Array
    changed: Array
    patched: Array

    def of(self, member: int) -> _Patched:
        return _Patched(self.clean[member], self.changed[member], self.patched[member])


def _patch(
    decoder: Decoder,
    clean: NDArray[np.int32],
    changed: NDArray[np.int32],
    answer: NDArray[np.int32],
    other: NDArray[np.int32],
) -> _Patched:
    """Prompts int32 [M, n, T], answers int32 [M, n]."""
    import torch

    device = decoder.embedding.device
    members, n, context = clean.shape
    rows = decoder.embedding if decoder.unembedding is None else decoder.unembedding
    member = torch.arange(members, device=device).unsqueeze(1)
    right, wrong = (rows[member, torch.from_numpy(x.astype(np.int64)).to(device)] for x in (answer, other))  # [M, n, d]

    def difference(last: Tensor) -> Tensor:
        """Behind the last block, of the last position: [M, k, d] -> [M, k]; k a multiple of n."""
        hidden: Tensor = decoder.norm(last)
        return (hidden * (right - wrong).repeat(1, last.shape[1] // n, 1)).sum(-1)

    with torch.no_grad():
        states, base = [], []
        for prompts in (clean, changed):
            found = _states(decoder, torch.from_numpy(prompts.astype(np.int64)).to(device))
            states.append([x.view(members, n, context, -1) for x in found])
            base.append(difference(states[-1][-1][:, :, -1]).double().cpu().numpy())
        layers = len(states[0])
        patched = np.empty((members, layers, context, n))
        at_once = max(1, _TOKENS_AT_ONCE // (members * n * context))
        for layer, (kept, given) in enumerate(zip(states[1], states[0], strict=True)):
            for start in range(0, context, at_once):
                places = torch.arange(start, min(start + at_once, context), device=device)
                x = kept.unsqueeze(1).repeat(1, len(places), 1, 1, 1)  # [M, places, n, T, d]
                x[:, places - start, :, places] = given[:, :, places].permute(2, 0, 1, 3)
                batch = len(places) * n
                x = x.view(members, batch * context, -1)
                for block in decoder.blocks[layer:]:
                    x = block(x, batch)
                result = difference(x.view(members, batch, context, -1)[:, :, -1])
                patched[:, layer, start : start + len(places)] = result.view(members, -1, n).double().cpu().numpy()
    return _Patched(base[0], base[1], patched)


def _states(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """What each block is given and, last, what the last one gives: layers + 1 of [M, B·T, d]."""
    found: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: found.append(given[0])) for block in decoder.blocks]
    hooks.append(decoder.blocks[-1].register_forward_hook(lambda _, __, result: found.append(result)))
    try:
        decoder(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _observations(carrier: int, run: _Patched, control: str) -> Iterator[Observation]:
    effect = run.clean - run.changed
    n = len(effect)
    error = float(effect.std(ddof=1)) / sqrt(n) if n > 1 else None
    yield Observation(f"patching.effect{control}", float(effect.mean()), "logits", error, n, 0.0)
    if effect.mean() == 0:  # nothing that could come back
        return
    back = run.patched - run.changed  # [layers + 1, T, n]

    def ratio(name: str, gained: Array, **place: Any) -> Observation:
        value = gained.sum() / effect.sum()
        spread = sqrt(((gained - value * effect) ** 2).sum()) / abs(effect.sum())
        return Observation(f"patching.{name}{control}", float(value), "share", float(spread), n, **place)

    for layer, position in np.ndindex(back.shape[:2]):
        yield ratio("recovery", back[layer, position], target="position", layer=layer, position=position)
    between = back[1:-1]
    if len(between):
        last = back.shape[1] - 1
        others = [p for p in range(back.shape[1]) if p not in (carrier, last)]
        yield ratio("carrier", between[:, carrier].mean(0))
        yield ratio("last", between[:, last].mean(0))
        if others:
            yield ratio("other", between[:, others].mean((0, 1)))
