"""Engines of this package and of installed ones are known by name, and are imported when they are called."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from physlm import engines
from physlm.engines.installed import imported_when_called
from physlm.errors import UserError

CALLS: list[tuple[Any, ...]] = []


def heard(experiment: Any, store: str, on_event: Any = None, *, wait: bool = True) -> str:
    CALLS.append((experiment, store, wait))
    return "done"


def engine(value: str) -> engines.Engine:
    return imported_when_called(EntryPoint("elsewhere", value, "physlm.engines"))


def test_those_of_both_kinds_are_known() -> None:
    assert {"local", "kfp", "kfp-local"} <= set(engines.registry)
    assert engines.registry.file_of("kfp-local").name == "engines.py"


@pytest.mark.slow
def test_none_is_imported_before_it_is_called() -> None:
    code = "import sys; from physlm import engines; list(engines.registry); print('kfp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", "asking for the engines' names has imported kfp"


def test_options_are_handed_on_and_unknown_ones_refused() -> None:
    made = engine(f"{__name__}:heard")
    assert made("experiment", "store", wait=False) == "done"
    assert CALLS == [("experiment", "store", False)]
    with pytest.raises(UserError, match="the engine 'elsewhere' has no option 'wiat'; did you mean 'wait'"):
        made("experiment", "store", wiat=False)


def test_a_missing_package_is_told() -> None:
    with pytest.raises(UserError, match="engine: elsewhere needs no_such_package; install it with: pip install"):
        engine("no_such_package:run")("experiment", "store")
