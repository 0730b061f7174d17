"""The catalogue: what was observed, for ever."""

from physlm.catalog import laws, preregistration, queries, sealed
from physlm.catalog.batches import observed, write_batch
from physlm.catalog.emission import Declarations, Emission
from physlm.catalog.gathering import collect, gathered, scanned, write_scanned
from physlm.catalog.observations import Moment, Observation, overall, read, table, write

__all__ = [
    "Declarations",
    "Emission",
    "Moment",
    "Observation",
    "collect",
    "gathered",
    "laws",
    "observed",
    "overall",
    "preregistration",
    "queries",
    "read",
    "scanned",
    "sealed",
    "table",
    "write",
    "write_batch",
    "write_scanned",
]
