"""Activation patching: which states carry a fact to the answer (Vig et al. 2020; Meng et al. 2022, causal tracing).

A model reads a prompt and a counterfactual one that differs in a few tokens, the carrier. States of one layer of the
first run are put into the second: if the answer comes back, these states carried the fact. A probe finds what can be
read; this finds what is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from physlm import standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import BeforeAndAfter, LayerMap, with_untrained
from physlm.errors import UserError
from physlm.measures.measure import Measure, Member, register
from physlm.measures.untrained import untrained
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import Counterfactuals, HasCounterfactuals, require
from physlm.tasks.task import Stream, Task

if TYPE_CHECKING:
    from torch import Tensor

    from physlm.models.decoder import Decoder

ROLES = {
    "carrier": "the states of the tokens that say the fact",
    "last": "the state of the position that writes the answer",
    "other": "all other states",
}
"""States that are patched together, and what they are."""

_MIN_EFFECT = 3.0  # standard errors that an effect must be from 0 for shares of it to be told
_MAX_TOKENS = 1 << 16  # of all models together, read at once

_BY_ROLE = LayerMap(
    "role",
    "Which states carry the fact, by layer and role",
    "Put into the counterfactual run, these states bring back more than half of the answer",
    "Share of the answer's difference of logits that comes back with these states of the other run, all of a role at "
    "once: those of the tokens that say the fact (carrier), of the position that writes the answer (last), and all "
    "others. Layer 0 is the embedding; there the carrier gives 100 by construction, as the last position does behind "
    "the last layer. See in which layer the fact changes over, and whether it stops over in between. A model to which "
    "the fact makes no sure difference, as often before training, has none to show.",
)

Array = NDArray[np.float64]


@register
class Patching(Measure):
    """On pairs of prompts of the task, of a model and (`....untrained`) of the same model before training:

    patching.effect    mean of what the fact changes: the difference of the logits of the right answers to the two
                       prompts, less the same in the changed prompt. Chance is 0
    patching.carrier   share of the effect that comes back with the states of all carrier tokens in one layer: a row for
                       each layer (0: the embedding), and their mean over the layers between: how deep the fact stays
                       there. 1 in layer 0, by construction
    patching.last      the same with the state of the last position, which writes the answer: how early the fact has
                       arrived. 1 behind the last layer, by construction
    patching.other     the same with all other states together: 0 in all layers where the fact goes straight from the
                       one to the other, else it stops over
    patching.recovery  where all pairs are aligned, the same with the state of each layer and position alone

    Shares are told of an effect that is more than three standard errors from 0: of a smaller one nothing can come back,
    as often before training. Standard errors are over pairs, of ratios by the delta method.
    """

    name = "patching"
    version = 2
    samples = 100  # pairs of prompts

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        found = [
            Emission(
                "patching.effect",
                "logits",
                "what the fact changes in the difference of the logits of both prompts' right answers",
                chance="a model to which the fact makes no difference",
                drawing=BeforeAndAfter(),
            )
        ]
        for role, meaning in ROLES.items():
            share = Emission(f"patching.{role}", "share", f"share of the effect that comes back with {meaning}")
            found += [
                replace(share, drawing=BeforeAndAfter()),
                replace(share, by=("layer",), drawing=replace(_BY_ROLE, column=role)),
            ]
        recovery = Emission(
            "patching.recovery",
            "share",
            "share of the effect that comes back with the state of one layer and position",
            by=("layer", "position"),
            target="position",
            drawing=LayerMap(
                "position",
                "Which states carry the fact, by layer and position",
                "Put into the counterfactual run, most of the answer brings back the state",
                "Share of the answer's difference of logits that comes back with this one state of the other run. "
                "Layer 0 is the embedding.",
            ),
        )
        return [control for emission in (*found, recovery) for control in with_untrained(emission)]

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        try:
            require(task, HasCounterfactuals).counterfactuals(Stream("test"), np.arange(1, dtype=np.int64))
        except UserError as reason:
            return str(reason)
        return super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        indices = np.arange(self.samples, dtype=np.int64)
        pairs = [require(m.task, HasCounterfactuals).counterfactuals(Stream("test", m.seed), indices) for m in members]
        found: list[list[Observation]] = [[] for _ in members]
        for control, models in (("", decoder), (".untrained", untrained(decoder, members))):
            for rows, own, run in zip(found, pairs, _patch(models, pairs), strict=True):
                rows += _observations(own, run, control)
        return found


class _Patched(NamedTuple):
    """Differences of logits, answer less other, of one model on its n pairs.

    clean, changed  [n]
    roles           [layers + 1, 3, n], of ROLES
    positions       [layers + 1, T, n]; nothing where pairs aren't aligned
    """

    clean: Array
    changed: Array
    roles: Array
    positions: Array


def _roles(pairs: Counterfactuals, context: int) -> list[NDArray[np.bool_]]:
    """The places of ROLES in prompts filled up to a length, bool [n, context] each."""
    carrier = np.zeros((len(pairs.clean), context), np.bool_)
    carrier[:, : pairs.carrier.shape[1]] = pairs.carrier
    place, last = np.arange(context), pairs.length[:, None] - 1
    return [carrier, place == last, (place < last) & ~carrier]


def _patch(decoder: Decoder, pairs: Sequence[Counterfactuals]) -> list[_Patched]:
    """What patching does to each model with its own pairs: as many for each, of any lengths."""
    import torch

    members, n, context = len(pairs), len(pairs[0].clean), max(own.clean.shape[1] for own in pairs)

    def stacked(name: str) -> Tensor:
        rows = [getattr(own, name).astype(np.int64) for own in pairs]
        if rows[0].ndim == 2:  # filled up with what is never read
            rows = [np.pad(row, ((0, 0), (0, context - row.shape[1]))) for row in rows]
        return torch.from_numpy(np.stack(rows)).to(decoder.embedding.device)

    clean, changed, answer, other, length = map(stacked, ("clean", "changed", "answer", "other", "length"))
    masks = [np.stack(places) for places in zip(*(_roles(own, context) for own in pairs), strict=True)]
    aligned = max((own.clean.shape[1] for own in pairs if own.aligned), default=0)
    masks += [np.broadcast_to(np.arange(context) == place, masks[0].shape) for place in range(aligned)]
    parts: list[Sequence[Array]] = []
    at_once = max(1, _MAX_TOKENS // (members * context))
    with torch.no_grad():
        for start in range(0, n, at_once):
            some = slice(start, start + at_once)
            read = _Reading(decoder, answer[:, some], other[:, some], length[:, some] - 1)
            own_masks = [mask[:, some] for mask in masks]
            parts.append(_patch_some(decoder, clean[:, some], changed[:, some], own_masks, read))
    base, base_changed, patched = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    found = []
    for m, own in enumerate(pairs):
        positions = own.clean.shape[1] if own.aligned else 0
        roles, places = np.split(patched[m], [len(ROLES)], axis=1)
        found.append(_Patched(base[m], base_changed[m], roles, places[:, :positions]))
    return found


class _Reading:
    """Reads the difference of logits behind the last block, at each prompt's last position.

    answer, other, last: int64 [M, n].
    """

    def __init__(self, decoder: Decoder, answer: Tensor, other: Tensor, last: Tensor) -> None:
        import torch

        rows = decoder.embedding if decoder.unembedding is None else decoder.unembedding
        member = torch.arange(len(rows), device=rows.device).unsqueeze(1)
        self._direction = rows[member, answer] - rows[member, other]
        self._norm, self._last = decoder.norm, last

    def __call__(self, states: Tensor) -> Array:
        """States [M, k, n, T, d] -> float64 [M, k, n]."""
        last = states.take_along_dim(self._last[:, None, :, None, None], 3).squeeze(3)
        hidden = self._norm(last.flatten(1, 2)).view_as(last)
        difference: Array = (hidden * self._direction.unsqueeze(1)).sum(-1).double().cpu().numpy()
        return difference


def _patch_some(
    decoder: Decoder, clean: Tensor, changed: Tensor, masks: Sequence[NDArray[np.bool_]], read: _Reading
) -> tuple[Array, Array, Array]:
    """Differences of logits of prompts int64 [M, n, T]: clean and changed [M, n], patched [M, layers + 1, masks, n].

    masks: bool [M, n, T] each, the states that are put from the clean run into the changed one.
    """
    import torch

    from physlm.models.hidden_states import residual_stream

    members, n, context = clean.shape
    given, kept = (
        [x.view(members, 1, n, context, -1) for x in residual_stream(decoder, prompts)] for prompts in (clean, changed)
    )
    patched = np.empty((members, len(given), len(masks), n))
    at_once = max(1, _MAX_TOKENS // (members * n * context))
    for start in range(0, len(masks), at_once):
        put = torch.from_numpy(np.stack(masks[start : start + at_once], 1)).to(clean.device)  # [M, k, n, T]
        for layer, (own, others) in enumerate(zip(given, kept, strict=True)):
            x = torch.where(put.unsqueeze(-1), own, others).reshape(members, -1, own.shape[-1])
            for block in decoder.blocks[layer:]:
                x = block(x, put.shape[1] * n)
            patched[:, layer, start : start + at_once] = read(x.view(*put.shape, -1))
    return read(given[-1])[:, 0], read(kept[-1])[:, 0], patched


def _observations(pairs: Counterfactuals, run: _Patched, control: str) -> Iterator[Observation]:
    effect = run.clean - run.changed
    n = len(effect)
    size, error = standard_errors.mean(effect)
    yield Observation(f"patching.effect{control}", size, "logits", error, n, 0.0)
    if abs(size) <= _MIN_EFFECT * (error or 0.0):
        return

    def ratio(name: str, patched: Array, **place: Any) -> Observation:
        gained = patched - run.changed
        value, spread = standard_errors.ratio(gained, effect)
        return Observation(f"patching.{name}{control}", value, "share", spread, n, **place)

    for number, (role, places) in enumerate(zip(ROLES, _roles(pairs, pairs.clean.shape[1]), strict=True)):
        if not places.any():
            continue
        by_layer = run.roles[:, number]
        for layer, patched in enumerate(by_layer):
            yield ratio(role, patched, layer=layer)
        if len(by_layer) > 2:
            yield ratio(role, by_layer[1:-1].mean(0))
    for layer, position in np.ndindex(run.positions.shape[:2]):
        place = {"target": "position", "layer": layer, "position": position}
        yield ratio("recovery", run.positions[layer, position], **place)
