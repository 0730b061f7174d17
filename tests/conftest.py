"""Fixtures for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """Find a real program on PATH or in .tools/bin.

    A test that lacks its program is skipped, or fails where PHYSLM_REQUIRE_SERVICES=1.
    """

    def find(name: str) -> str:
        found = shutil.which(name, path=os.pathsep.join((str(ROOT / ".tools/bin"), os.environ["PATH"])))
        if found is None:
            reason = f"{name} is not installed (helm and kubectl: python .ci/tools; servers: their Debian packages)"
            if os.environ.get("PHYSLM_REQUIRE_SERVICES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find
