"""physlm: an observatory for the universal laws of language models.

    from pathlib import Path
    import physlm

    store = physlm.open_store("physlm-store")
    experiment = physlm.load(Path("capacity.yaml"))
    physlm.run(store, experiment)

Names are imported from where they live when they are first used, so that `import physlm` is quick. Their types
stand in `__init__.pyi`; what isn't listed here is found in the packages, and may change without notice.
"""

from importlib import import_module

from physlm import code_cache

__version__ = "0.1.0"

code_cache.secure()  # before numba is imported by anyone

_HOME = {
    "Experiment": "physlm.experiment",
    "Fit": "physlm.fitting",
    "Law": "physlm.laws",
    "Measure": "physlm.measures",
    "ModelConfig": "physlm.models",
    "Observation": "physlm.catalog",
    "PhyslmError": "physlm.errors",
    "Probe": "physlm.probes",
    "Registry": "physlm.registry",
    "Run": "physlm.runs",
    "Step": "physlm.steps",
    "Store": "physlm.store",
    "Task": "physlm.tasks",
    "UserError": "physlm.errors",
    "fit": "physlm.fitting",
    "load": "physlm.experiment",
    "open_store": "physlm.store",
    "run": "physlm.steps",
}
# Of each noun; its `registry` has the parts by name.
_PACKAGES = (
    "laws",
    "measures",
    "models",
    "probes",
    "steps",
    "tasks",
)

__all__ = sorted([*_HOME, *_PACKAGES, "__version__"])


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return import_module(f"physlm.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'physlm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
