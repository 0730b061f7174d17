"""physlm: an observatory for the universal laws of language models."""

__version__ = "0.1.0"
