"""Hooks on hidden states: they give what blocks are given, change what they are told to, and go away again."""

from __future__ import annotations

import pytest
import torch

from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.models.hidden_states import changed_input, hidden_states, recorded_inputs, residual_stream

TOKENS = torch.arange(12).view(2, 2, 3) % 7


def decoder_of() -> Decoder:
    decoder = Decoder(Gpt2Config(layers=2, heads=1, width=8), 7, 2)
    initialise(decoder, [0, 1])
    return decoder


def test_states_begin_with_the_embedding_and_end_with_what_the_decoder_returns() -> None:
    decoder = decoder_of()
    states, stream = hidden_states(decoder, TOKENS), residual_stream(decoder, TOKENS)
    embedded = torch.stack([decoder.embedding[m][TOKENS[m]] for m in range(2)]).view(2, 6, 8)
    assert [tuple(state.shape) for state in states] == [(2, 6, 8)] * 3
    assert torch.equal(states[0], embedded)
    assert torch.equal(states[-1], decoder(TOKENS))
    assert all(torch.equal(a, b) for a, b in zip(states[:-1], stream[:-1], strict=True))
    assert torch.equal(decoder.norm(stream[-1]), states[-1])


def test_a_changed_input_holds_within_the_block_alone() -> None:
    decoder = decoder_of()
    before = decoder(TOKENS)
    with changed_input(decoder.blocks[1], torch.zeros_like):
        zeros, _ = hidden_states(decoder, TOKENS)[1:]
        assert not zeros.any()
    assert torch.equal(decoder(TOKENS), before)


def test_hooks_go_away_also_after_an_error() -> None:
    decoder = decoder_of()
    with pytest.raises(ZeroDivisionError), recorded_inputs(decoder.blocks):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), changed_input(decoder.blocks[0], lambda x: x):
        raise ZeroDivisionError
    assert not any(block._forward_pre_hooks for block in decoder.blocks)
