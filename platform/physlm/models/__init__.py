"""Architectures, torch-free and found by themselves; parts in `parts/`; the batched decoder of a cohort."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    if _module.name not in ("decoder", "generation", "parts"):  # which bring torch
        importlib.import_module(f"{__name__}.{_module.name}")

from physlm.models.contract import ModelConfig, parse, registry  # noqa: E402

__all__ = ["ModelConfig", "parse", "registry"]
