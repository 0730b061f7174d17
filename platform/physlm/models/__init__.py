"""Architectures: a config file for each (torch-free), parts in `parts/`, the batched decoder and its cohort."""

from physlm.models import gpt2
from physlm.models.contract import ModelConfig, parse, registry

__all__ = ["ModelConfig", "gpt2", "parse", "registry"]
