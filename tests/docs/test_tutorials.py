"""The tutorials do what they show: their files are written, their commands and Python run, one after the other, in an
empty folder, and what they print has the shape of what is shown.

Shape: the same lines of the same words. Numbers may be others, remarks in brackets and the verdict's word too, for they
hang on the last digits; `...` stands for anything, on a line of its own for any lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import physlm

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: title=\"(?P<file>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\b\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?\b|[-+]?\binf\b|\bnan\b")
REMARK = re.compile(r"\([^()]*\)")
VERDICT = re.compile(r"\b(?:supported|undecided|refuted)\b")


@dataclass(frozen=True)
class Command:
    """What is run, and what is said to be printed."""

    words: list[str] | str  # a line for the shell, or a program and its arguments
    shown: str


def commands(text: str, folder: Path) -> Iterator[Command]:
    """The commands of a tutorial; its files are written on the way."""
    python = ""
    for block in BLOCK.finditer(text):
        if block["file"]:
            (folder / block["file"]).write_text(block["text"])
        elif block["kind"] == "console":
            for line, shown in re.findall(r"^\$ (.+\n)((?:(?!\$ ).*\n)*)", block["text"], re.MULTILINE):
                yield Command(line.strip(), shown)
        elif block["kind"] == "python":
            python = block["text"]
        elif block["kind"] == "text":
            yield Command([sys.executable, "-c", python], block["text"])


def pattern(shown: str) -> re.Pattern[str]:
    """What output of the shown shape matches."""
    lines = []
    for line in shape(shown).splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(re.escape(line).replace(re.escape("..."), ".*") + r"\n")
    return re.compile("".join(lines))


def shape(text: str) -> str:
    """A text without what may differ from machine to machine."""
    while REMARK.search(text):
        text = REMARK.sub("", text)
    text = VERDICT.sub("<verdict>", NUMBER.sub("#", text))
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines() if line.strip())


@pytest.mark.slow
@pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: str(file.stem))
def test_a_tutorial_does_what_it_shows(file: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "physlm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m physlm.cli "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    sources = Path(physlm.__file__).parents[1]
    paths = [str(sources), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "COLUMNS": "200",
    }
    ran = 0
    for command in commands(file.read_text(), folder):
        done = subprocess.run(
            command.words,
            shell=isinstance(command.words, str),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        refused = command.shown.startswith("error: ")
        assert done.returncode == (2 if refused else 0), f"{command.words}: {done.stderr}"
        printed = done.stderr if refused else done.stdout
        assert pattern(command.shown).fullmatch(shape(printed)), (
            f"{file.name}, {command.words}\nshows\n{command.shown}\nbut prints\n{printed}"
        )
        ran += 1
    assert ran > 1, f"{file.name} has nothing to run"


def test_the_shape_of_what_is_printed() -> None:
    assert shape("page: a (b (c)) -1.5e3\n\n  x   [0.1, inf]\n") == "page: a #\nx [#, #]\n"
    assert pattern("law: ...\n...\nc 1 [0, 2]\n").fullmatch(
        shape("law: refuted (5 of 6)\nmore\nlines\nc  17 [3, inf] (at a bound)\n")
    )
    assert not pattern("c 1 [0, 2]\n").fullmatch(shape("d 1 [0, 2]\n"))
    assert not pattern("c 1\n").fullmatch(shape("c 1\nmore\n"))
