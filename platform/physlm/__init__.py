"""physlm: an observatory for the universal laws of language models."""

__version__ = "0.1.0"

from physlm import code_cache

code_cache.secure()
