"""Measures, one file each; a new file is found and registered by itself."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "taking":  # which brings torch, and is imported when measures are taken
        importlib.import_module(f"{__name__}.{_module.name}")

from physlm.measures.contract import Measure, Member, registry  # noqa: E402

__all__ = ["Measure", "Member", "registry"]
