"""The catalogue: what was observed, for ever."""

from physlm.catalog import laws, preregistration, sealed
from physlm.catalog.batches import observed, write_batch
from physlm.catalog.emission import Declarations, Emission
from physlm.catalog.gathering import collect, gathered, scanned, write_scanned
from physlm.catalog.observations import Moment, Observation, key, overall, read, table, write

__all__ = [
    "Declarations",
    "Emission",
    "Moment",
    "Observation",
    "collect",
    "gathered",
    "key",
    "laws",
    "observed",
    "overall",
    "preregistration",
    "read",
    "scanned",
    "sealed",
    "table",
    "write",
    "write_batch",
    "write_scanned",
]
