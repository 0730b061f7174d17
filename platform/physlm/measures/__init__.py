"""Measures, one file each; a new file is found and registered by itself."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

from physlm.measures.contract import Measure, Member, registry  # noqa: E402
from physlm.measures.quantised import QUANTISATIONS, variant  # noqa: E402

__all__ = ["Measure", "Member", "find", "names", "registry"]


def names() -> list[str]:
    """Every measure that an experiment may name: those of the registry, and each after quantisation."""
    return [*registry(), *(f"{name}@{kind}" for name in registry() for kind in QUANTISATIONS)]


def find(name: str) -> type[Measure]:
    """The measure of that name."""
    base, _, kind = name.partition("@")
    return variant(registry()[base], QUANTISATIONS[kind]) if kind else registry()[base]
