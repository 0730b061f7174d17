"""`physlm models` as people and programs use it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from physlm.cli.app import app
from physlm.errors import ExperimentError
from physlm.models import parse, registry
from physlm.models.architecture import PARTS


def ask(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_all_architectures_are_listed_with_what_they_need() -> None:
    rows = json.loads(ask("list", "--vocabulary", "50", "--context", "32", "--json"))["models"]
    assert list(rows) == list(registry)
    for name, row in rows.items():
        config = parse({"type": name})
        assert row["parameters"] == config.parameters(50)
        assert row["flops_per_token"] == config.flops_per_token(50, 32)
        assert row["training_bytes"] > 4 * 4 * row["parameters"]  # with gradients and two moments
        assert row["summary"]
    table = ask("list")
    assert all(name in table for name in registry)


@pytest.mark.parametrize("kind", PARTS)
def test_all_parts_are_listed_and_shown_with_their_knobs(kind: str) -> None:
    rows = json.loads(ask("list", "--json"))[f"{kind}s"]
    assert list(rows) == list(PARTS[kind])
    table = ask("list")
    for name, row in rows.items():
        assert name in table
        assert row["summary"]
        if name in registry:  # an architecture is named after it, and shown
            continue
        shown = json.loads(ask("show", name, "--json"))
        assert list(shown["knobs"]) == row["knobs"]
        text = ask("show", name)
        assert all(knob in text for knob in row["knobs"])
        assert f"{name}.py" in text.replace("\n", "")


def test_an_architecture_is_shown_as_its_knobs_are_set() -> None:
    settings = ["--set", "width=64", "--set", "canon=AC", "--set", "group_size=2"]
    row = json.loads(ask("show", "llama", *settings, "--json"))
    config = parse({"type": "llama", "width": 64, "canon": "AC", "group_size": 2})
    assert row["model"] == config.model_dump(mode="json")
    assert row["parameters"] == config.parameters(64)
    assert row["cache_bytes"] == 4 * config.cache_numbers(64)
    text = ask("show", "llama", *settings)
    assert f"{config.parameters(64):,}" in text
    assert "query heads that share" in text


def test_what_cant_be_set_so_is_left_out_of_the_list() -> None:
    rows = json.loads(ask("list", "--set", "group_size=2", "--json"))["models"]
    assert "llama" in rows
    assert "gla" not in rows


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "lama"], r"'lama' is neither a model nor a part of one; did you mean 'llama'\?"),
        (["show", "gla", "--set", "widht=8"], r"model.widht: unknown key; did you mean 'width'\?"),
        (["show", "gla", "--set", "width"], r"'width' must be a knob and its value"),
        (["show", "gpt2", "--set", "heads=5"], "32 can't be split into 5 heads"),
        (["list", "--set", "width=3"], "greater than or equal to 4"),
    ],
)
def test_mistakes_are_refused_with_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ExperimentError, match=sentence):
        ask(*arguments)
