"""A run's training data: its task's stream, alone or mixed with others.

Which stream a window or an instance is from is drawn by its number, so it depends on the run alone. The loop's clock
says how many instances of each stream have been taken; a feed starts anywhere from these counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from physlm import randomness
from physlm.runs import Run, language
from physlm.tasks.task import Instances, Stream
from physlm.training.masking import Masked
from physlm.training.packing import NOTHING, Feed, Packer, StreamSource, Windows


def feed(run: Run, windows: int, instances: int, mixed: Mapping[str, int], stop: int | None) -> Feed:
    """The run's data from where it stands.

    windows, instances, mixed   taken so far: windows of any stream, instances of its own task, and of each other stream
    stop                        instances of its own task after which the data end; None if never
    """
    whole = _whole(run, windows, instances, mixed, stop)
    if run.model.causal:
        return whole
    key = randomness.key("mask", run.seed)
    return Masked(whole, run.training.mask_share, key, windows, len(run.language.vocabulary))


def _whole(run: Run, windows: int, instances: int, mixed: Mapping[str, int], stop: int | None) -> Feed:
    """The data with all tokens to be seen."""
    if not run.training.mix:
        return Packer(_source(run, None, instances, stop), run.context_length, run.language.separator)
    if run.training.mix_by == "window":
        return _WindowMix(run, windows, instances, mixed, stop)
    return _InstanceMix(run, instances, mixed, stop)


def _source(run: Run, name: str | None, cursor: int, stop: int | None = None) -> StreamSource:
    task = run.language if name is None else language(run.mixed[name])
    return StreamSource(task, Stream("train", run.seed), cursor, stop)


class _Lots:
    """Draws which stream is next: 0 for the task's own, then those mixed in, in the order of their names."""

    def __init__(self, run: Run) -> None:
        self.names = sorted(run.training.mix)
        shares = [run.training.own_share, *(run.training.mix[name].share for name in self.names)]
        self._edges = np.cumsum(shares)[:-1]
        self._key = randomness.key("mix", run.training.mix_by, run.seed)

    def draw(self, start: int, stop: int) -> NDArray[np.int64]:
        """The streams of the windows or instances numbered start to stop - 1, int64 [stop - start]."""
        high, low = randomness.words(self._key, np.arange(start, stop, dtype=np.int64), 2).astype(np.float64).T
        lots: NDArray[np.int64] = np.searchsorted(self._edges, (high * 2.0**32 + low) * 2.0**-64, side="right")
        return lots


class _WindowMix:
    """Each window holds instances of one stream, as in Part 3.1 (BIO or QA) and Part 3.3 (useful or junk)."""

    def __init__(self, run: Run, windows: int, instances: int, mixed: Mapping[str, int], stop: int | None) -> None:
        self._lots, self._drawn = _Lots(run), windows
        sources: dict[str | None, StreamSource] = {None: _source(run, None, instances, stop)}
        sources |= {name: _source(run, name, mixed.get(name, 0)) for name in self._lots.names}
        self._packers = {
            name: Packer(source, run.context_length, run.language.separator) for name, source in sources.items()
        }

    def next(self, rows: int) -> Windows:
        """The next batch of so many windows."""
        lots = self._lots.draw(self._drawn, self._drawn + rows)
        self._drawn += rows
        parts: dict[str | None, Windows] = {}
        for lot, name in enumerate((None, *self._lots.names)):
            if count := int((lots == lot).sum()):
                parts[name] = self._packers[name].next(count)
        place = np.argsort(np.argsort(lots, kind="stable"))
        own = parts.get(None)
        return Windows(
            tokens=np.concatenate([w.tokens for w in parts.values()])[place],
            loss=np.concatenate([w.loss for w in parts.values()])[place],
            source=np.concatenate([w.source for w in parts.values()])[place],
            instances=own.instances if own else 0,
            mixed={name: w.instances for name, w in parts.items() if name is not None},
        )


class _InstanceMix:
    """Windows hold instances of all streams side by side."""

    def __init__(self, run: Run, instances: int, mixed: Mapping[str, int], stop: int | None) -> None:
        self._lots = _Lots(run)
        self._taken = instances + sum(mixed.values())
        self._packer = Packer(
            _Merged(run, self._lots, instances, mixed, stop), run.context_length, run.language.separator
        )

    def next(self, rows: int) -> Windows:
        """The next batch of so many windows."""
        windows = self._packer.next(rows)
        lots = self._lots.draw(self._taken, self._taken + windows.instances)
        self._taken += windows.instances
        own, *others = np.bincount(lots, minlength=1 + len(self._lots.names)).tolist()
        return replace(windows, instances=own, mixed=dict(zip(self._lots.names, others, strict=True)))


class _Merged:
    """The streams as one; it ends with the last instance of the task's own."""

    def __init__(self, run: Run, lots: _Lots, instances: int, mixed: Mapping[str, int], stop: int | None) -> None:
        self._lots = lots
        self._at = instances + sum(mixed.values())
        self._left = None if stop is None else stop - instances
        self._sources = [_source(run, None, instances, stop)]
        self._sources += [_source(run, name, mixed.get(name, 0)) for name in lots.names]

    def read(self, count: int) -> Instances:
        lots = self._lots.draw(self._at, self._at + count)
        if self._left is not None:
            own = np.cumsum(lots == 0)
            if own[-1] >= self._left:
                lots = lots[: int(np.searchsorted(own, self._left)) + 1] if self._left else lots[:0]
            self._left -= int((lots == 0).sum())
        self._at += len(lots)
        if not len(lots):
            return NOTHING
        return _merge(lots, [source.read(int((lots == lot).sum())) for lot, source in enumerate(self._sources)])


def _merge(lots: NDArray[np.int64], parts: list[Instances]) -> Instances:
    """Instances in the order of their lots. lots int64 [n]: which part each is from, in the order within the part."""
    lengths = np.zeros(len(lots), np.int64)
    for lot, part in enumerate(parts):
        lengths[lots == lot] = part.lengths
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens, loss = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.bool_)
    for lot, part in enumerate(parts):
        shift = offsets[:-1][lots == lot] - part.offsets[:-1]
        place = np.repeat(shift, part.lengths) + np.arange(len(part.tokens))
        tokens[place], loss[place] = part.tokens, part.loss
    return Instances(tokens, offsets, loss)
