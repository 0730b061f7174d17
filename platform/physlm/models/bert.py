"""BERT-like encoder, for the negative results of Parts 1 and 3.1: every token sees all others.

It is trained to tell hidden tokens (`physlm.training.masking`).
"""

from __future__ import annotations

from typing import Literal

from physlm.models.architecture import DecoderConfig, default
from physlm.models.block import Positions
from physlm.models.model import register


@register
class BertConfig(DecoderConfig):
    """BERT's parts (Devlin et al. 2019) in pre-norm order: absolute positions, GELU, tied embeddings."""

    type: Literal["bert"] = "bert"
    positions: Positions = default("positions", "absolute")
    bidirectional: bool = default("bidirectional", True)
