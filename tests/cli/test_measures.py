"""What measures and probes there are, on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from physlm import measures, probes
from physlm.cli.app import app


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("noun", "registry"), [("measures", measures.registry), ("probes", probes.registry)])
def test_all_are_listed_with_what_they_emit(noun: str, registry: dict[str, type[measures.Measure]]) -> None:
    found = json.loads(run(noun, "list", "--json"))
    assert list(found) == list(registry)
    assert all(entry["about"] and entry["emits"] for entry in found.values())
    text = run(noun, "list")
    assert all(name in text for name in registry)


def test_a_measure_is_shown_with_units_levels_and_tasks() -> None:
    found = json.loads(run("measures", "show", "loss@int8", "--json"))
    (loss, size) = found["emits"]
    assert (loss["name"], loss["unit"], loss["better"]) == ("loss_int8", "nats per token", "lower")
    assert loss["floor"] == "the entropy of the language"
    assert size["name"] == "weight_bits_int8"
    assert set(found["tasks"]) >= {"cfg", "biod"}
    text = run("measures", "show", "validity")
    assert "validity.continue (1, higher is better)" in text
    assert "tasks: cfg\n" in text


def test_a_probe_is_shown_with_its_knobs() -> None:
    text = run("probes", "show", "v")
    assert "probe.v.<target>.untrained by layer of <target> (1, higher is better)" in text
    assert "knob steps: of training (default 600)" in text


def test_a_misspelt_name_is_told_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["measures", "show", "acuracy"])
    assert result.exit_code != 0
    assert "did you mean 'accuracy'?" in str(result.exception)
