"""Probes, one file each; a new file is found and registered by itself."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from physlm.experiment import probe_config

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "fitting":  # which brings torch, and is imported when probes are trained
        importlib.import_module(f"{__name__}.{_module.name}")

from physlm.probes.contract import Probe, registry  # noqa: E402

__all__ = ["Probe", "make", "registry"]


def make(name: str, knobs: Mapping[str, Any]) -> Probe:
    """The probe of that name with these knobs. Raises ExperimentError naming the knob and what would be right."""
    cls = registry()[name]
    return cls(probe_config(cls.config_type, name, knobs))
