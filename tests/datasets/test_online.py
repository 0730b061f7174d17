"""Online streams: the same batches from any number of processes."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from physlm.datasets import online
from physlm.errors import UserError
from physlm.tasks import Instances, Stream, registry

CFG = registry["cfg"].config_type.model_validate({"sizes": (1, 3, 3, 3)})
TASK = registry["cfg"](CFG)
TRAIN = Stream("train", 3)


def assert_batches(batches: list[Instances], bounds: list[int], labels: bool) -> None:
    assert len(batches) == len(bounds) - 1
    for batch, (first, stop) in zip(batches, pairwise(bounds), strict=True):
        expected = TASK.sample(TRAIN, np.arange(first, stop))
        np.testing.assert_array_equal(batch.tokens, expected.tokens)
        np.testing.assert_array_equal(batch.offsets, expected.offsets)
        np.testing.assert_array_equal(batch.loss, expected.loss)
        assert batch.labels.keys() == (expected.labels.keys() if labels else set())
        for name, row in batch.labels.items():
            np.testing.assert_array_equal(row, expected.labels[name])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_batches(workers: int) -> None:
    batches = online(CFG, TRAIN, 40, first=7, stop=500, labels=True, workers=workers)
    assert_batches(list(batches), [*range(7, 500, 40), 500], labels=True)


@pytest.mark.slow
def test_a_stream_without_end_may_be_left_at_any_time() -> None:
    stream = online(CFG, TRAIN, 11, first=2**40, workers=2)
    assert_batches(list(islice(stream, 9)), [2**40 + 11 * i for i in range(10)], labels=False)
    stream.close()
    assert list(stream) == []


def test_an_empty_range_has_no_batches() -> None:
    assert list(online(CFG, TRAIN, 5, first=9, stop=9)) == []


@pytest.mark.parametrize("knobs", [{"size": 0}, {"size": 1, "first": -1}, {"size": 1, "workers": 0}])
def test_impossible_numbers_are_refused(knobs: dict[str, int]) -> None:
    with pytest.raises(UserError, match="size and workers from 1 and first from 0"):
        online(CFG, TRAIN, **knobs)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_stream() -> None:
    """Two million tokens after the first batches: what all of them together would take isn't taken."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    stream = online(CFG, TRAIN, 1024, labels=True)
    for _ in range(5):
        next(stream)
    before, tokens, met = resident(), 0, 0
    while tokens < 2_000_000:
        batch = next(stream)
        tokens += len(batch.tokens)
        met += batch.tokens.nbytes + batch.loss.nbytes + sum(row.nbytes for row in batch.labels.values())
    assert met > 40e6
    assert resident() - before < met / 4
