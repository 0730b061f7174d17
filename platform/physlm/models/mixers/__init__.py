"""What moves information between tokens: one file each, torch-free to import and found by itself."""

from physlm.models.mixers.mixer import Mixer, registry

__all__ = ["Mixer", "registry"]
