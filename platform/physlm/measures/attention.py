"""Where attention looks: how far back, and beyond that from boundary to boundary (Part 1, attention as a parser).

Part 1 takes from attention what depends on positions alone, and finds that what is left goes from the end of a symbol
to the end of the symbol before it, as a parser by dynamic programming would combine them. Here that part is the mean
over sentences at the same two positions, which holds all that a distance tells, and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from physlm import ragged, standard_errors
from physlm.catalog import Emission, Observation
from physlm.catalog.emission import BeforeAndAfter, LayerMap, with_untrained
from physlm.measures.measure import Measure, Member, register
from physlm.measures.untrained import untrained
from physlm.models.model import ModelConfig
from physlm.tasks.capabilities import Probed, supports
from physlm.tasks.task import Instances, Stream, Task

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder

FARTHEST = 32  # distances told apart in observations
_MAX_WEIGHTS = 1 << 25  # of all attention matrices that are held at once
_OF_HEAD = "share of the variance of one head's weights that distance alone explains"

Array = NDArray[np.float64]


@register
class Attention(Measure):
    """Softmax attention on fresh instances, of a model and (`....untrained`) of the same model before training:

    attention.distance        mean weight on the token so many places back (`position`), of all queries that have one;
                              by layer, target `heads` for the mean over heads, else `head_<number>`
    attention.reach           mean distance that is looked back, in tokens
    attention.position_share  share of the variance of weights that distance alone explains; by layer (`position` is the
                              head), and as a mean over them
    attention.boundary        mean weight from the end of a symbol to the end of the one before it in the same level,
                              less the mean weight between these two positions; `position` is the level. Chance is 0
    attention.flow            the same from the end of a symbol to the ends of its own parts and of the part before it
                              in the same whole: where a parser by dynamic programming looks

    The last two where the task's labels say where spans end. Standard errors are clustered by instance.
    """

    name = "attention"
    version = 2
    samples = 200

    @classmethod
    def emits(cls, task: Task[Any] | None = None) -> Sequence[Emission]:
        distance = Emission(
            "attention.distance",
            "1",
            "mean attention weight on the token so many places back, over heads",
            floor="no weight",
            by=("layer", "position"),
            target="heads",
            drawing=LayerMap(
                "distance",
                "Where attention looks, by layer and distance",
                "Attention puts most weight",
                "Mean weight on the token so many places back, over heads and over all tokens that have one.",
            ),
        )
        share = Emission(
            "attention.position_share",
            "1",
            "share of the variance of attention weights that distance alone explains, mean over layers and heads",
            floor="distance explains nothing",
            drawing=BeforeAndAfter(),
        )
        found = [
            *with_untrained(distance),
            replace(distance, target="head_<head>", meaning="the same of one head", drawing=None),
            *with_untrained(
                Emission(
                    "attention.reach",
                    "tokens",
                    "mean distance that attention looks back",
                    floor="every token looks at itself",
                    drawing=BeforeAndAfter(),
                )
            ),
            *with_untrained(share),
            *with_untrained(
                replace(share, floor=None, by=("layer", "position"), target="head", meaning=_OF_HEAD, drawing=None)
            ),
        ]
        if task is None or (supports(task, Probed) and task.probe_ends):
            boundary = Emission(
                "attention.boundary",
                "1",
                "mean weight from the end of a symbol to the end of the one before it in its level, less what is usual "
                "between the two positions",
                chance="attention by positions alone",
                drawing=BeforeAndAfter(),
            )
            by_level = LayerMap(
                "level",
                "Attention from boundary to boundary, by layer and level",
                "Beyond what positions tell, the end of a symbol puts most weight on the end of the one before it",
                "Mean weight from the end of a symbol to the end of the one before it in its level, less the mean "
                "weight between the same two positions over all sentences. Chance is 0.",
            )
            flow = replace(
                boundary,
                name="attention.flow",
                meaning="mean weight from the end of a symbol to the ends of its own parts and of the part before it, "
                "less what is usual between the two positions",
            )
            places: Mapping[str, Any] = {"by": ("layer", "position")}
            found += [
                *with_untrained(boundary),
                *with_untrained(replace(boundary, target="level", drawing=by_level, **places)),
                *with_untrained(flow),
                *with_untrained(replace(flow, target="all", drawing=None, **places)),
            ]
        return found

    @classmethod
    def unsupported_reason(cls, task: Task[Any], model: ModelConfig | None = None) -> str | None:
        mixer = getattr(model, "mixer", "attention")
        if model is not None and mixer != "attention":
            return f"{model.type} has no softmax attention: it mixes tokens by {mixer}"
        return super().unsupported_reason(task, model)

    def evaluate(self, decoder: Decoder, members: Sequence[Member]) -> list[list[Observation]]:
        if reason := self.unsupported_reason(members[0].task, decoder.config):
            raise ValueError(f"attention can't be measured: {reason}")
        drawn = [m.task.sample(Stream("test", m.seed), np.arange(self.samples, dtype=np.int64)) for m in members]
        texts = [_texts(m.task, instances) for m, instances in zip(members, drawn, strict=True)]
        found: list[list[Observation]] = [[] for _ in members]
        for control, models in (("", decoder), (".untrained", untrained(decoder, members))):
            for rows, text, seen in zip(found, texts, _look(models, texts), strict=True):
                rows += _observations(text, seen, control)
        return found


def levels(task: Task[Any]) -> list[str]:
    """Labels that are 1 where a span ends, from the largest spans to the smallest."""
    names = dict.fromkeys(task.probe_ends.values() if supports(task, Probed) else ())
    return sorted(names, key=lambda name: int("".join(filter(str.isdigit, name)) or 0))


def number(level: str) -> int:
    """Of a level, as its label's name has it."""
    return int("".join(filter(str.isdigit, level)) or 0)


@dataclass(frozen=True)
class Texts:
    """B instances of one member, a row each.

    tokens  int64 [B, T]
    length  int64 [B]
    links   by measure and level (0 for all): pairs (i, k) of tokens, bool [B, T, T]
    """

    tokens: NDArray[np.int64]
    length: NDArray[np.int64]
    links: Mapping[tuple[str, int], NDArray[np.bool_]]


def _texts(task: Task[Any], instances: Instances) -> Texts:
    context = int(instances.lengths.max())
    tokens = ragged.padded(instances.tokens, instances.offsets, context, task.separator)
    names = levels(task)
    ends = [ragged.padded(instances.labels[name], instances.offsets, context, 0) == 1 for name in names]
    links = {("boundary", number(name)): adjacent(end) for name, end in zip(names, ends, strict=True)}
    if ends:
        links["flow", 0] = flow(ends)
    return Texts(tokens, instances.lengths, links)


def adjacent(ends: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ends of spans, bool [B, T] -> pairs of an end and the one before it, bool [B, T, T]."""
    place = np.where(ends, np.arange(ends.shape[1]), -1)
    before = np.maximum.accumulate(np.pad(place[:, :-1], ((0, 0), (1, 0)), constant_values=-1), axis=1)
    return np.asarray(ends[:, :, None] & (before[:, :, None] == np.arange(ends.shape[1])))


def flow(ends: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Ends of the spans of nested levels, largest first -> pairs of a span's end and those it is combined from.

    These are the ends of all its parts in the next level but the last, which is where it ends itself; and from the end
    of a part to the end of the part before it, if both are parts of one span. An instance is one span as a whole.
    """
    context = ends[0].shape[1]
    last = context - 1 - ends[0][:, ::-1].argmax(1)
    ends = [(np.arange(context) == last[:, None]) & ends[0], *ends]
    result = np.zeros((len(ends[0]), context, context), np.bool_)
    place = np.arange(context)
    for level, end in enumerate(ends):
        before = np.where(adjacent(end).any(2), adjacent(end).argmax(2), -1)
        if level + 1 < len(ends):
            inside = (place > before[:, :, None]) & (place < place[:, None])
            result |= end[:, :, None] & inside & ends[level + 1][:, None]
        if level:
            whole = ends[level - 1]
            result |= adjacent(end) & ~whole[:, None]
    return result


@dataclass
class _Seen:
    """Sums over the instances of a member, for each layer: [layers, H, ...].

    total    weight at each pair of positions, [layers, H, T, T]
    square   squares of weights, [layers, H]
    back     weight at each distance, by instance, [layers, H, B, T]
    linked   weight on links of each kind, [layers, H, B]
    """

    total: Array
    square: Array
    back: Array
    linked: dict[tuple[str, int], Array]


def _look(decoder: Decoder, texts: Sequence[Texts]) -> list[_Seen]:
    """What each model's attention does in its own texts."""
    import torch

    from physlm.models.hidden_states import recorded_inputs
    from physlm.models.mixers.attention import Attention as Part

    config = decoder.config
    context = max(text.tokens.shape[1] for text in texts)
    tokens = np.stack([np.pad(t.tokens, ((0, 0), (0, context - t.tokens.shape[1]))) for t in texts])
    at_once = max(1, _MAX_WEIGHTS // (len(texts) * config.heads * context**2))
    seen = [
        _Seen(
            np.zeros((config.layers, config.heads, *[t.tokens.shape[1]] * 2)),
            np.zeros((config.layers, config.heads)),
            np.zeros((config.layers, config.heads, *t.tokens.shape)),
            {kind: np.zeros((config.layers, config.heads, len(t.tokens))) for kind in t.links},
        )
        for t in texts
    ]
    mixers = [part for part in decoder.modules() if isinstance(part, Part)]  # in the order of layers
    with recorded_inputs(mixers) as inputs:
        for start in range(0, tokens.shape[1], at_once):
            part = torch.from_numpy(tokens[:, start : start + at_once]).to(decoder.embedding.device)
            inputs.clear()
            with torch.no_grad():
                decoder(part)
                for layer, (mixer, x) in enumerate(zip(mixers, inputs, strict=True)):
                    _add(seen, texts, layer, start, mixer.weights(x, part.shape[1]).double().cpu().numpy())
    return seen


def _add(seen: Sequence[_Seen], texts: Sequence[Texts], layer: int, start: int, weights: Array) -> None:
    """Weights of some rows of all members, [M, b, H, T, T]."""
    stop = start + weights.shape[1]
    for own, text, whole in zip(seen, texts, weights, strict=True):
        context = text.tokens.shape[1]
        there = np.arange(context) < text.length[start:stop, None]
        some = whole[:, :, :context, :context] * there[:, None, :, None]
        own.total[layer] += some.sum(0)
        own.square[layer] += (some**2).sum((0, 2, 3))
        for distance in range(context):
            along = np.diagonal(some, -distance, 2, 3).sum(-1)  # [b, H]
            own.back[layer, :, start:stop, distance] = along.T
        for kind, links in text.links.items():
            own.linked[kind][layer, :, start:stop] += np.einsum("bhik,bik->hb", some, links[start:stop])


def _observations(text: Texts, seen: _Seen, control: str) -> Iterator[Observation]:
    layers, heads, context, _ = seen.total.shape
    pairs = np.tril((np.arange(context) < text.length[:, None]).sum(0)[:, None] * np.ones(context))  # [T, T]
    having = np.maximum(text.length[:, None] - np.arange(context), 0)  # queries with a token so far back, [B, T]
    queries = having.sum(0)
    by_distance = seen.back.sum(2)  # [layers, H, distance]
    n = len(text.tokens)

    for layer in range(layers):
        shown = {"heads": seen.back[layer].mean(0)}
        if not control:
            shown |= {f"head_{h}": seen.back[layer, h] for h in range(heads)}
        for target, weights in shown.items():
            for distance in range(min(FARTHEST, context)):
                place = {"layer": layer + 1, "position": distance}
                value, error = standard_errors.ratio(weights[:, distance], having[:, distance])
                found = int((having[:, distance] > 0).sum())
                name = f"attention.distance{control}"
                yield Observation(name, value, "1", error, found, floor=0.0, target=target, **place)
    looked = seen.back.mean((0, 1))  # [B, T]
    value, error = standard_errors.ratio((looked * np.arange(context)).sum(1), looked.sum(1))
    yield Observation(f"attention.reach{control}", value, "tokens", error, n, floor=0.0)

    count, total = pairs.sum(), by_distance.sum(-1)
    spread = seen.square - total**2 / count
    explained = (by_distance**2 / queries).sum(-1) - total**2 / count
    share = np.clip(explained / np.maximum(spread, 1e-12), 0, 1)  # [layers, H]
    name = f"attention.position_share{control}"
    for layer, head in np.ndindex(layers, heads):
        yield Observation(name, float(share[layer, head]), "1", target="head", layer=layer + 1, position=head)
    yield Observation(name, float(share.mean()), "1", floor=0.0)

    at_pair = seen.total / np.maximum(pairs, 1)  # the mean over instances at the same two positions
    for what in dict.fromkeys(kind for kind, _ in text.links):
        kinds = [kind for kind in text.links if kind[0] == what]
        name = f"attention.{what}{control}"
        for layer in range(layers):
            for kind in kinds:
                target = "level" if what == "boundary" else "all"
                links = text.links[kind]
                if links.any():
                    over = _residual(seen.linked[kind][layer].mean(0), links, at_pair[layer].mean(0))
                    yield _mean(name, over, target=target, layer=layer + 1, position=kind[1])
        every = [
            _residual(seen.linked[kind].mean((0, 1)), text.links[kind], at_pair.mean((0, 1)))
            for kind in kinds
            if text.links[kind].any()
        ]
        if every:
            yield _mean(name, (sum(e[0] for e in every), sum(e[1] for e in every)), layer=None, n=n)  # type: ignore[arg-type]


def _residual(weights: Array, links: NDArray[np.bool_], expected: Array) -> tuple[Array, Array]:
    """Weight on each instance's links [B] beyond what is expected between such positions [T, T]; and how many links."""
    return weights - np.einsum("bik,ik->b", links, expected), links.sum((1, 2)).astype(np.float64)


def _mean(name: str, over: tuple[Array, Array], **place: Any) -> Observation:
    value, error = standard_errors.ratio(*over)
    place = {"n": int((over[1] > 0).sum()), **place}
    return Observation(name, value, "1", stderr=error, chance=0.0, **place)
