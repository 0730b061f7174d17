"""People's text is shown as it is written: no markup, no emoji, no control characters; whole lines off a terminal."""

from __future__ import annotations

import pytest
from rich.table import Table

from physlm.cli import console

TEXTS = {
    "see [/runs/x]": "see [/runs/x]",
    "Is [a] larger than [b]?": "Is [a] larger than [b]?",
    "[bold]loud[/]": "[bold]loud[/]",
    ":smile: [link=http://x]y[/link]": ":smile: [link=http://x]y[/link]",
    "\x1b[31mred\x1b[0m": "\\x1b[31mred\\x1b[0m",
    "over\rwritten\x07": "over\\rwritten\\x07",
    "\u202egnp.exe": "\\u202egnp.exe",
    "ü ± −": "ü ± −",
}


@pytest.mark.parametrize("text", TEXTS)
def test_lines_and_cells_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str], text: str) -> None:
    console.output.print(text)
    console.fail(text)
    console.warn(text)
    table = Table(text, box=None, pad_edge=False)
    table.add_row(text)
    console.output.print(table)
    expected = TEXTS[text]
    out, err = ([line.rstrip() for line in each.splitlines()] for each in capsys.readouterr())
    assert out == [expected] * 3
    assert err == [f"error: {expected}", f"warning: {expected}"]


def test_rows_are_whole_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("run", "measure", box=None, pad_edge=False)
    table.add_row("3fd387d75d3e78f3" * 10, "bits_per_parameter" * 10)
    console.output.print(table)
    _, row = capsys.readouterr().out.splitlines()
    assert "3fd387d75d3e78f3" * 10 in row
    assert "bits_per_parameter" * 10 in row
