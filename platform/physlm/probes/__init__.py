"""Probes, one file each; a new file is found and registered by itself."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    if _module.name not in ("fitting", "taking"):  # which bring torch, and are imported when probes are trained
        importlib.import_module(f"{__name__}.{_module.name}")

from physlm.probes.contract import Probe, registry  # noqa: E402

__all__ = ["Probe", "registry"]
