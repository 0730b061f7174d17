"""The names that `import physlm` offers: these and no others, documented, none of them loaded before it is used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import physlm

PUBLIC = [
    "Experiment",
    "Fit",
    "Law",
    "Measure",
    "ModelConfig",
    "Observation",
    "PhyslmError",
    "Probe",
    "Registry",
    "Run",
    "Step",
    "Store",
    "Task",
    "UserError",
    "__version__",
    "fit",
    "laws",
    "load",
    "measures",
    "models",
    "open_store",
    "probes",
    "run",
    "steps",
    "tasks",
]
"""To change it is to change what others build on: tell it in CHANGELOG.md."""


def test_the_public_names_are_these() -> None:
    assert physlm.__all__ == PUBLIC
    assert dir(physlm) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(physlm, name)
    if not isinstance(value, str):
        assert inspect.getdoc(value), f"physlm.{name} has no docstring"
    if name in ("laws", "measures", "models", "probes", "steps", "tasks"):
        assert len(value.registry) > 0, f"physlm.{name}.registry is empty"


def test_the_stub_has_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(physlm.__file__).with_suffix(".pyi").read_text())
    imported = {
        alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert sorted([*imported, "__version__"]) == PUBLIC
    for name, module in imported.items():
        assert getattr(import_module(str(module)), str(name)) is getattr(physlm, str(name)), f"{name} from {module}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'physlm' has no attribute 'lod'"):
        _ = physlm.lod


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import physlm; print(*sorted(set(sys.modules) - before))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    others = {name.partition(".")[0] for name in shown} - set(sys.stdlib_module_names)
    assert others == {"physlm"}, "import physlm must load no other package"
    assert [name for name in shown if name.startswith("physlm.")] == ["physlm.code_cache"]
