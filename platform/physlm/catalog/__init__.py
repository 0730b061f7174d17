"""The catalogue: what was observed, for ever."""

from physlm.catalog import laws, preregistration, sealed
from physlm.catalog.observations import Moment, Observation, collect, key, overall, read, table, write

__all__ = [
    "Moment",
    "Observation",
    "collect",
    "key",
    "laws",
    "overall",
    "preregistration",
    "read",
    "sealed",
    "table",
    "write",
]
