"""The catalogue: what was observed, for ever."""

from physlm.catalog.observations import Moment, Observation, collect, key, overall, read, table, write

__all__ = ["Moment", "Observation", "collect", "key", "overall", "read", "table", "write"]
