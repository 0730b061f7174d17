"""The models before training, for measures that compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physlm.measures.measure import Member

if TYPE_CHECKING:
    from physlm.models.decoder import Decoder


def untrained(decoder: Decoder, members: Sequence[Member]) -> Decoder:
    """The members with their initial parameters, frozen."""
    from physlm.models.decoder import Decoder, initialise

    made = Decoder(decoder.config, decoder.vocabulary, len(members))
    initialise(made, [m.seed for m in members])
    return made.to(decoder.embedding.device).eval().requires_grad_(False)
