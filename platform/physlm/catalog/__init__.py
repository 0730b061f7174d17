"""The catalogue: what was observed, for ever."""

from physlm.catalog import laws, preregistration, sealed
from physlm.catalog.observations import Moment, Observation, collect, key, read, table, write

__all__ = ["Moment", "Observation", "collect", "key", "laws", "preregistration", "read", "sealed", "table", "write"]
