"""What can be named is registered once, in a file of its own; what isn't known is told with the nearest name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import physlm
from physlm import engines, laws, measures, models, probes, steps, store, tasks
from physlm.errors import RegistrationError, UnknownName
from physlm.laws.law import Law
from physlm.measures.measure import Measure
from physlm.models import mixers, mlps
from physlm.models.mixers.mixer import Mixer
from physlm.models.mlps.mlp import Mlp
from physlm.models.model import ModelConfig
from physlm.probes.probe import Probe
from physlm.registry import Registry
from physlm.steps import Step
from physlm.store import Store
from physlm.tasks.task import Task

NOUNS: dict[type[Any], Registry[Any]] = {
    Law: laws.registry,
    Measure: measures.registry,
    Mixer: mixers.registry,
    Mlp: mlps.registry,
    ModelConfig: models.registry,
    Probe: probes.registry,
    Step: steps.registry,
    Store: store.registry,
    Task: tasks.registry,
}
REGISTRIES: list[Registry[Any]] = [*NOUNS.values(), engines.registry]  # engines are functions


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(physlm.__path__, "physlm."):
        if not module.name.endswith("__main__"):
            yield importlib.import_module(module.name)


def _is_whole(cls: type[Any]) -> bool:
    """Whether a class is meant to be used by name: not a base of others, not a part of a law (a rival)."""
    own = inspect.get_annotations(cls)
    named = cls.__dict__.get("name") or cls.__dict__.get("config_type") or cls.__dict__.get("scheme") or "type" in own
    return not inspect.isabstract(cls) and not cls.__name__.startswith("_") and bool(named)


@pytest.mark.slow
def test_every_class_of_a_noun_is_registered_or_another_ones_rival() -> None:
    found = {cls for module in _modules() for _, cls in inspect.getmembers(module, inspect.isclass)}
    rivals = {rival for law in laws.registry.values() for rival in law.rivals}
    for base, registry in NOUNS.items():
        known = set(registry.values())
        for cls in sorted((c for c in found if issubclass(c, base) and c is not base), key=lambda c: c.__name__):
            if _is_whole(cls) and cls not in known and cls not in rivals:
                pytest.fail(
                    f"{cls.__module__}.{cls.__name__} is not registered: put @register in front of the class, so that "
                    f"the {registry.noun} is known by its name"
                )


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_names_are_sorted_and_each_has_its_file(registry: Registry[Any]) -> None:
    assert list(registry) == sorted(registry)
    for name in registry:
        assert registry.file_of(name).is_file()


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_an_unknown_name_is_told_with_the_nearest(registry: Registry[Any]) -> None:
    name = next(iter(registry))
    with pytest.raises(UnknownName, match=f"{registry.noun} '{name}x' is not known; did you mean '{name}'"):
        registry[f"{name}x"]
    assert f"{name}x" not in registry
    assert registry.get(f"{name}x") is None


def test_a_name_is_taken_once() -> None:
    registry: Registry[Any] = Registry("law", "physlm.laws")
    first = type("First", (), {"name": "decay", "__module__": __name__})
    again = type("Second", (), {"name": "decay", "__module__": __name__})
    registry.register(first)
    registry.register(first)
    with pytest.raises(RegistrationError, match=r"two files define the law 'decay': .*test_registry.py and .*"):
        registry.register(again)
