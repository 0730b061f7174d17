"""What there may be to observe; torch-free."""

from __future__ import annotations

from functools import cache

from physlm import measures, probes
from physlm.catalog import Declarations


@cache
def declarations() -> Declarations:
    """What all measures and probes declare."""
    return Declarations([*measures.emissions(), *probes.emissions()])
