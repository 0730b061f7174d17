"""Measures, one file each; a new file is found and registered by itself."""

from physlm.catalog import Emission
from physlm.measures.measure import Measure, Member, registry
from physlm.measures.quantised import QUANTISATIONS, variant

__all__ = ["Measure", "Member", "emissions", "find", "names", "registry"]


def names() -> list[str]:
    """Every measure that an experiment may name: those of the registry, and each after quantisation."""
    return [*registry, *(f"{name}@{kind}" for name in registry for kind in QUANTISATIONS)]


def emissions() -> list[Emission]:
    """What all measures emit, and all of them after quantisation."""
    return [emission for name in names() for emission in find(name).emits()]


def find(name: str) -> type[Measure]:
    """The measure of that name."""
    base, _, kind = name.partition("@")
    return variant(registry[base], QUANTISATIONS[kind]) if kind else registry[base]
