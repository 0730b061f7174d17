"""Where an experiment runs: in this process, or by an engine of any installed package; all are known by name."""

from physlm.engines.engine import Engine, registry

__all__ = ["Engine", "registry"]
