"""Probes, one file each; a new file is found and registered by itself."""

from collections.abc import Mapping
from typing import Any

from physlm.catalog import Emission
from physlm.experiment import probe_config
from physlm.probes.probe import Probe, registry

__all__ = ["Probe", "emissions", "make", "registry"]


def emissions() -> list[Emission]:
    """What all probes emit."""
    return [emission for probe in registry.values() for emission in probe.emits()]


def make(name: str, knobs: Mapping[str, Any]) -> Probe:
    """The probe of that name with these knobs. Raises ExperimentError naming the knob and what would be right."""
    cls = registry[name]
    return cls(probe_config(cls.config_type, name, knobs))
