"""Feed-forward layers: one file each, torch-free to import and found by themselves."""

from physlm.models.mlps.mlp import Mlp, registry

__all__ = ["Mlp", "registry"]
