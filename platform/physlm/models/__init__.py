"""Architectures, torch-free and found by themselves; parts in `parts/`; the batched decoder of a cohort."""

from physlm.models.model import ModelConfig, parse, registry

__all__ = ["ModelConfig", "parse", "registry"]
