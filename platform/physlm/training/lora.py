"""Low-rank updates of frozen models (Hu et al. 2021, LoRA) as in Parts 3.1 and 3.2: queries, values, embedding.

A cohort of them trains A and B alone; every member has its own frozen model. What is stored at the end is the model
with its updates added, which everything else takes for any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from physlm import randomness
from physlm.models.decoder import Decoder
from physlm.models.mixers.mixer import Mixer
from physlm.models.model import ModelConfig
from physlm.training.cohort import Cohort
from physlm.training.config import LoraConfig, OptimizerConfig
from physlm.training.ranks import ALONE, Ranks


class _Logits(nn.Module):
    """The decoder's way from tokens to logits as one call, so that other weights may stand in for its own."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor) -> Tensor:
        return self.decoder.logits(self.decoder(tokens))


class _Updates(nn.Module):
    """The trained A and B of M members: for each matrix and each of its updated blocks of columns."""

    def __init__(self, frozen: Decoder, config: LoraConfig) -> None:
        super().__init__()
        self._logits = [_Logits(frozen)]  # in a list: no part of what is trained
        self.blocks: list[tuple[str, slice, float]] = []  # parameter, its columns, scale
        if config.embedding_rank:
            columns = slice(0, frozen.config.width)
            self._add("embedding", frozen.embedding, columns, config.embedding_rank, config.alpha)
        for path, part in frozen.named_modules():
            for name, blocks in part.lora_columns.items() if isinstance(part, Mixer) else ():
                for block in blocks:
                    self._add(f"{path}.{name}", part.get_parameter(name), block, config.rank, config.alpha)

    def _add(self, name: str, weight: Tensor, columns: slice, rank: int, alpha: float) -> None:
        members, inputs, outputs = len(weight), weight.shape[1], columns.stop - columns.start
        rank = min(rank, inputs, outputs)
        i = len(self.blocks)
        self.register_parameter(f"a{i}", nn.Parameter(torch.zeros(members, inputs, rank)))
        self.register_parameter(f"b{i}", nn.Parameter(torch.zeros(members, rank, outputs)))
        self.blocks.append((name, columns, alpha / rank))

    def weights(self) -> dict[str, Tensor]:
        """All weights of the models, with the updates added, by name."""
        full: dict[str, Tensor] = dict(self._logits[0].decoder.named_parameters())
        for i, (name, columns, scale) in enumerate(self.blocks):
            update = torch.bmm(getattr(self, f"a{i}"), getattr(self, f"b{i}")) * scale
            left, right = columns.start, full[name].shape[2] - columns.stop
            full[name] = full[name] + nn.functional.pad(update, (left, right))
        return full

    def set_loss_scale(self, scale: float) -> None:
        """As a decoder's."""
        self._logits[0].decoder.set_loss_scale(scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [M, B, T] -> logits [M, B·T, V]."""
        weights = {f"decoder.{name}": value for name, value in self.weights().items()}
        logits: Tensor = functional_call(self._logits[0], weights, (tokens,))
        return logits

    def logits(self, hidden: Tensor) -> Tensor:
        """What `forward` has given is logits already."""
        return hidden


class LoraCohort(Cohort):
    """A cohort whose flat rows hold the updates alone."""

    def __init__(
        self,
        model: ModelConfig,
        vocabulary: int,
        optimizers: Sequence[OptimizerConfig],
        seeds: Sequence[int],
        device: torch.device,
        ranks: Ranks = ALONE,
        micro_batch_size: int | None = None,
        *,
        config: LoraConfig,
    ) -> None:
        self.config = config
        self.frozen = Decoder(model, vocabulary, len(seeds)).requires_grad_(False).to(device)
        super().__init__(model, vocabulary, optimizers, seeds, device, ranks, micro_batch_size)

    def _build(self, members: int) -> _Updates:
        return _Updates(self.frozen, self.config)

    def _initialise(self, seeds: list[int]) -> None:
        """A at random with variance 1 / inputs, B zero: training begins with the frozen model."""
        for name, (where, size) in self.slices.items():
            for row, seed in enumerate(seeds):
                if name.startswith("a"):
                    generator = torch.Generator().manual_seed(randomness.key("lora", name, seed) >> 1)
                    self.values[row, where] = (
                        (torch.randn(size, generator=generator) / size[0] ** 0.5).flatten().to(self.device)
                    )

    def start_from(self, row: int, named: Mapping[str, Tensor]) -> None:
        for name, parameter in self.frozen.named_parameters():
            parameter[row] = named[name].to(self.device)

    def keep(self, rows: Sequence[int]) -> None:
        kept = Decoder(self.model, self.vocabulary, len(rows)).requires_grad_(False).to(self.device)
        for old, new in zip(self.frozen.parameters(), kept.parameters(), strict=True):
            new.copy_(old[list(rows)])
        self.frozen = kept
        super().keep(rows)

    def parameters(self, row: int) -> dict[str, Tensor]:
        updates = self.decoder
        assert isinstance(updates, _Updates)
        with torch.no_grad():
            return {name: weight[row] for name, weight in updates.weights().items()}
