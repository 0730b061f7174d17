"""YAML as people mean it (YAML 1.2), and what can be read in two ways is refused."""

from __future__ import annotations

from typing import Any

import pytest

from physlm.errors import ExperimentError
from physlm.yaml_loader import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-2", 0.01),
        ("8_000_000", 8_000_000),
        ("-3", -3),
        ("0", 0),
        ("0x1f", 31),
        ("0o17", 15),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("null", None),
        ("~", None),
        ("'010'", "010"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = read_yaml(f"knob: {text}")["knob"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["010", "00", "-007", "0_10"])
def test_a_number_that_begins_with_a_zero_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"line 2: .* begins with a zero; write "):
        read_yaml(f"a: 1\nknob: {text}")
