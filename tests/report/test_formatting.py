"""Numbers as people read them."""

from __future__ import annotations

import pytest

from physlm.report import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (1.8534, "1.85"),
        (-0.0123, "−0.0123"),
        (21_904, "21,900"),
        (0.9996, "1.00"),
        (999.7, "1,000"),
        (3.4e15, "3.4 × 10¹⁵"),
        (1e-7, "10⁻⁷"),
        (9.999e9, "10¹⁰"),
        (float("inf"), "∞"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20_000, "20,000"),
        (1_500_000, "1.5 M"),
        (0.25, "0.25"),
        (-3, "−3"),
        (0.30000000000000004, "0.3"),
        (1e18, "10¹⁸"),
    ],
)
def test_tick(value: float, text: str) -> None:
    assert formatting.tick(value) == text


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (1.8534, 0.0123, "1.853 ± 0.012"),
        (1.03564, 0.00086, "1.036 ± 0.001"),
        (1.03564, 0.0000086, "1.036 ± <0.001"),
        (12_345.6, 234.0, "12,350 ± 230"),
        (0.0, 0.01, "0.000 ± 0.010"),
        (5.0, None, "5.00"),
        (5.0, float("nan"), "5.00"),
    ],
)
def test_with_error(value: float, stderr: float | None, text: str) -> None:
    assert formatting.with_error(value, stderr) == text


def test_between_rounds_to_the_width_of_the_interval() -> None:
    assert formatting.between(1.8534, 1.7911, 1.9203) == ("1.85", "1.79 to 1.92")
    assert formatting.between(118.2, 90.1, 160.4) == ("118", "90 to 160")
    assert formatting.between(2.0, 2.0, 2.0) == ("2.00", "2.00 to 2.00")
    assert formatting.between(2.0, 1.0, float("inf")) == ("2.00", "1.00 to ∞")


def test_several() -> None:
    assert formatting.several([]) == ""
    assert formatting.several(["a", "b", "c"]) == "a, b and c"
    assert formatting.several(list("abcdefgh"), most=4) == "a, b, c and 5 more"
