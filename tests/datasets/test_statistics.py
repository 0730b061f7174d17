"""Figures of a sample: right means and errors, and a task that states something false is found out."""

from __future__ import annotations

import numpy as np
import pytest

from physlm.datasets import statistics
from physlm.datasets.statistics import Figure
from physlm.tasks import Stream
from physlm.tasks.mano import Mano, ManoConfig

CONFIG = ManoConfig(operations=4, modulus=7)
TEST = Stream("test")


def figures(task: Mano, count: int = 2000) -> dict[str, Figure]:
    return {figure.name: figure for figure in statistics.measure(task, count, TEST).figures}


def test_means_and_errors_are_those_of_the_sample() -> None:
    task = Mano(CONFIG)
    measured = figures(task)
    lengths = task.sample(TEST, np.arange(2000)).lengths
    assert measured["length"].mean == lengths.mean()
    assert measured["length"].stderr == pytest.approx(lengths.std(ddof=1) / np.sqrt(2000))
    assert measured["longest"].mean == lengths.max()
    assert measured["share trained on"].mean == 1
    assert statistics.measure(task, 2000, TEST).agrees


@pytest.mark.slow
def test_the_error_of_a_ratio_is_that_of_repeated_samples() -> None:
    """Over many samples the share of tokens that are trained on spreads as its standard error says."""
    task = Mano(ManoConfig(operations=4, modulus=7, train_on="answer"))
    shares = []
    for seed in range(200):
        result = statistics.measure(task, 100, Stream("test", seed))
        shares.append(next(figure for figure in result.figures if figure.name == "share trained on"))
    spread = np.std([share.mean for share in shares], ddof=1)
    assert np.mean([share.stderr for share in shares]) == pytest.approx(spread, rel=0.2)


def test_axes_are_measured_at_both_values() -> None:
    axes = statistics.measure(Mano(CONFIG), 500, TEST).axes
    easy, hard = (axis for axis in axes if axis.knob == "operations")
    assert (easy.value, hard.value) == (1, 4)
    assert easy.length.mean < hard.length.mean
    assert easy.operations is not None
    assert hard.operations is not None
    assert (easy.operations.mean, hard.operations.mean) == (1, pytest.approx(2.5, abs=0.3))


class _Overrated(Mano):
    """Says that it has more entropy, fewer tokens and harder answers than it has."""

    def floor(self) -> float:
        return super().floor() + 1

    @property
    def used_tokens(self) -> int:
        return 8

    @property
    def chance(self) -> float:
        return 0.05


def test_what_is_stated_falsely_disagrees() -> None:
    wrong = {name for name, figure in figures(_Overrated(CONFIG)).items() if figure.agrees is False}
    assert wrong == {"entropy", "distinct tokens", "blind accuracy"}
    assert not statistics.measure(_Overrated(CONFIG), 2000, TEST).agrees


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mean", "stated", "bound", "agrees"),
    [
        (1.0, None, False, None),
        (1.0, 1.4, False, True),
        (1.0, 1.6, False, False),
        (1.0, 9.0, True, True),
        (1.6, 1.0, True, False),
    ],
)
def test_a_figure_agrees_within_five_errors(
    mean: float, stated: float | None, bound: bool, agrees: bool | None
) -> None:
    assert Figure("x", "", mean, 0.1, 10, stated, bound).agrees is agrees
