"""Shapes that are written as types are checked in tests."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from physlm.models.decoder import Decoder
from physlm.models.gpt2 import Gpt2Config
from physlm.training.loss import token_losses


def test_a_wrong_shape_is_told_by_the_names_of_its_dimensions() -> None:
    with pytest.raises(TypeCheckError, match="members n"):
        token_losses(torch.zeros(2, 5, 3), torch.zeros(2, 4, dtype=torch.int64))


def test_hidden_states_are_checked_on_their_way_to_logits() -> None:
    decoder = Decoder(Gpt2Config(layers=1, heads=1, width=8), vocabulary=5, members=2)
    with pytest.raises(TypeCheckError, match="members batch context"):
        decoder(torch.zeros(2, 6, dtype=torch.int64))
