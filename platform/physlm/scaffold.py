"""Write a new part from its template: a small example that passes its contract test as it is.

    python -m physlm.scaffold law broken_power        (or: make new KIND=law NAME=broken_power)

Templates lie in `physlm/templates`, one for each kind of part.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from physlm.errors import UserError
from physlm.registry import Registry, nearest

PACKAGE = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class Kind:
    """Where files of one kind of part go, below the package, and the test of their contract."""

    folder: str
    test: str

    @property
    def registry(self) -> Registry[object]:
        """The parts of this kind that there are."""
        registry: Registry[object] = import_module(f"physlm.{self.folder.replace('/', '.')}").registry
        return registry


KINDS: Mapping[str, Kind] = {
    "law": Kind("laws", "tests/contracts/test_law.py"),
    "measure": Kind("measures", "tests/contracts/test_measure.py"),
    "mixer": Kind("models/mixers", "tests/contracts/test_model.py"),
    "mlp": Kind("models/mlps", "tests/contracts/test_model.py"),
    "probe": Kind("probes", "tests/contracts/test_probe.py"),
    "step": Kind("steps", "tests/contracts/test_step.py"),
    "task": Kind("tasks", "tests/contracts/test_task.py"),
}


def write(kind: str, name: str, package: Path = PACKAGE) -> Path:
    """Write the file of a new part. Returns its path. Raises UserError and writes nothing if it can't be one."""
    if kind not in KINDS:
        raise UserError(f"there is no kind of part {kind!r}; {nearest(kind, sorted(KINDS))}")
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} can't be the name of a {kind}: use small letters, digits and underscores, and a letter first, "
            "such as 'broken_power'"
        )
    path = package / KINDS[kind].folder / f"{name}.py"
    if path.exists():
        raise UserError(f"{path} exists already; choose another name")
    registry = KINDS[kind].registry
    if name in registry:
        raise UserError(f"there is a {kind} {name!r} already, in {registry.file_of(name)}; choose another name")
    text = render(kind, name)
    with path.open("x", encoding="utf-8") as file:  # written at once, or not at all
        file.write(text)
    return path


def render(kind: str, name: str) -> str:
    """The text of a new part's file."""
    templates = Environment(
        loader=FileSystemLoader(PACKAGE / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # what is made is Python
    )
    class_name = "".join(word.capitalize() for word in name.split("_"))
    title = name.replace("_", " ").capitalize()
    return templates.get_template(f"{kind}.py.jinja").render(name=name, class_name=class_name, title=title)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; what can't be written ends with code 2 and one sentence."""
    parser = argparse.ArgumentParser(prog="physlm.scaffold", description="Write a new part from its template.")
    parser.add_argument("kind", help=", ".join(KINDS))
    parser.add_argument("name", help="what experiment files will call it, such as broken_power")
    options = parser.parse_args(arguments)
    try:
        path = write(options.kind, options.name)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    test = f".venv/bin/pytest -q {KINDS[options.kind].test} -k {options.name}"
    sys.stdout.write(
        f"wrote {shown}, a small example that works\nnext: make it yours, then run\n  {test}\n  make check\n"
    )


if __name__ == "__main__":
    main()
