"""Hidden states of a decoder at every layer, read and changed through hooks alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from physlm.models.decoder import Decoder


@contextmanager
def recorded_inputs(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """While it lasts, the list gets what each of these modules is given first, in the order of their calls."""
    inputs: list[Tensor] = []

    def record(module: Any, arguments: tuple[Any, ...]) -> None:
        inputs.append(arguments[0])

    hooks = [module.register_forward_pre_hook(record) for module in modules]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def changed_input(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, the module gets change(x) where it would be given x first."""

    def before(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return change(arguments[0]), *arguments[1:]

    hook = module.register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()


def residual_stream(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """tokens int64 [M, B, T] -> layers + 1 of [M, B·T, d]: what each block is given, and what the last one gives."""
    with recorded_inputs([*decoder.blocks, decoder.norm]) as found:
        decoder(tokens)
    return found


def hidden_states(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """tokens int64 [M, B, T] -> layers + 1 of [M, B·T, d], for gradients to flow through.

    Layer 0 is the embedding, layer ℓ the output of block ℓ; the last is what the decoder returns, behind its last norm.
    """
    with recorded_inputs(decoder.blocks) as found:
        last = decoder(tokens)
    return [*found, last]
