"""Architectures, mixers (`mixers/`) and MLPs (`mlps/`), one file each, torch-free to import and found by themselves.

`block` has the knobs that all of them read, `architecture` those of a whole decoder, and `decoder` builds the torch
module of a cohort; `parts/` holds the pieces that mixers and MLPs are made of.
"""

from physlm.models.model import ModelConfig, parse, registry

__all__ = ["ModelConfig", "parse", "registry"]
