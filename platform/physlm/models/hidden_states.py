"""Hidden states of a decoder, read and changed while it runs, by hooks; importing it needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from physlm.models.decoder import Decoder


@contextmanager
def inputs_of(modules: Iterable[nn.Module]) -> Iterator[list[Tensor]]:
    """While it lasts, what each of the modules is given is appended to the list, in the order of calls."""
    found: list[Tensor] = []

    def before(module: Any, arguments: tuple[Any, ...]) -> None:
        found.append(arguments[0])

    hooks = [module.register_forward_pre_hook(before) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def layers(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """tokens int64 [M, B, T] -> layers + 1 of [M, B·T, d], for gradients to flow through.

    Layer 0 is the embedding, layer ℓ the output of block ℓ; the last is what the decoder returns, behind its last norm.
    """
    with inputs_of(decoder.blocks) as found:
        last = decoder(tokens)
    return [*found, last]


def residual_stream(decoder: Decoder, tokens: Tensor) -> list[Tensor]:
    """The same, but the last is what the last block gives, before the norm: any may be put into another run."""
    with inputs_of([*decoder.blocks, decoder.norm]) as found:
        decoder(tokens)
    return found


@contextmanager
def changed_embedding(decoder: Decoder, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, the first block gets change(x) for the embeddings x [M, n, d]."""

    def before(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return change(arguments[0]), *arguments[1:]

    hook = decoder.blocks[0].register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
