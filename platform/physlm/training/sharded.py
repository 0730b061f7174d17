"""One model too large for a rank: parameters, gradients and moments spread over all ranks (FSDP2, fully_shard).

It has the interface of a cohort of one. Every rank computes a part of each batch; each block is gathered for its
passes and given up after them. The optimiser works on each rank's own shards. Every method that moves parameters must
be called on all ranks.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from physlm.models.decoder import Decoder, initialise
from physlm.models.model import ModelConfig
from physlm.store import layout
from physlm.store.store import Store
from physlm.training import adamw
from physlm.training.checkpoints import Clock, ShardedState, save_clock
from physlm.training.cohort import micro_batches, mixed_precision
from physlm.training.config import OptimizerConfig
from physlm.training.loss import weighted_loss
from physlm.training.ranks import Ranks


class _LossOf(nn.Module):
    """The decoder up to its loss: its embedding is then used within one forward pass, and gathered once."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted loss in nats, [1]."""
        return weighted_loss(self.decoder.logits(self.decoder(inputs)).float(), targets, weights)


class ShardedModel:
    """One run's model and optimiser over all ranks."""

    def __init__(
        self,
        model: ModelConfig,
        vocabulary: int,
        optimizers: Sequence[OptimizerConfig],
        seeds: Sequence[int],
        device: torch.device,
        ranks: Ranks,
        micro_batch_size: int | None = None,
    ) -> None:
        (self.optimizer,), (seed,) = optimizers, seeds
        self.ranks, self.device, self.micro_batch_size = ranks, device, micro_batch_size
        decoder = Decoder(model, vocabulary, 1)
        initialise(decoder, [seed])  # the same on every rank, and in main memory
        self._loss = _LossOf(decoder)
        mesh = init_device_mesh(device.type, (ranks.size,))
        blocks = [block for part in decoder.children() if isinstance(part, nn.ModuleList) for block in part]
        for module in (*blocks, self._loss):
            fully_shard(module, mesh=mesh, shard_placement_fn=self._placement)
        self._named = {name: _dtensor(p) for name, p in decoder.named_parameters()}
        self.first = {name: _dtensor(torch.zeros_like(p)) for name, p in self._named.items()}
        self.second = {name: _dtensor(torch.zeros_like(p)) for name, p in self._named.items()}
        self.updates = 0

    def __len__(self) -> int:
        return 1

    def _placement(self, parameter: nn.Parameter) -> Shard:
        """Dimension 0 counts members, of which there is one: take the first other that the ranks divide."""
        for dimension in range(1, parameter.ndim):
            if parameter.shape[dimension] % self.ranks.size == 0:
                return Shard(dimension)
        return Shard(0)  # small or odd: whole on the first rank

    def start_from(self, row: int, named: Mapping[str, Tensor]) -> None:
        """Go on from a trained model, given by its parameters' names."""
        with torch.no_grad():
            for name, parameter in self._named.items():
                whole = named[name].unsqueeze(0).to(self.device)
                local = distribute_tensor(whole, parameter.device_mesh, parameter.placements)
                parameter.to_local().copy_(local.to_local())

    def keep(self, rows: Sequence[int]) -> None:
        """There is one member, which can't leave others."""
        assert list(rows) == [0]

    def step(
        self, tokens: Tensor, loss: Tensor, lr_factors: Sequence[float], seen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One optimiser step, as a cohort's: mean loss [1] in nats per predicted token, gradient norm [1]."""
        losses = torch.zeros(1, device=self.device)
        batch = list(micro_batches(tokens, loss, self.ranks, self.micro_batch_size, seen))
        # Every rank must take part in as many passes as the first, which never has fewer windows than another.
        most = math.ceil(tokens.shape[1] / self.ranks.size)
        passes = math.ceil(most / (self.micro_batch_size or most))
        if len(batch) < passes:
            few = None if seen is None else seen[:, :1]
            (empty,) = micro_batches(tokens[:, :1], torch.zeros_like(loss[:, :1]), Ranks(), None, few)
            batch += [replace(empty, fraction=0.0)] * (passes - len(batch))
        for micro_batch in batch:
            # Gradients are averaged over the ranks, and their sum is wanted.
            self._loss.decoder.set_loss_scale(micro_batch.fraction * self.ranks.size)
            with mixed_precision(self.device):
                own_loss = self._loss(micro_batch.inputs, micro_batch.targets, micro_batch.weights)
            (own_loss * self.ranks.size).sum().backward()
            losses += own_loss.detach()
        gradients = {name: _dtensor(p.grad) for name, p in self._named.items()}
        squares = torch.zeros(1, device=self.device)
        for gradient in gradients.values():
            squares += gradient.to_local().square().sum()
        self.ranks.sum(losses, squares)
        norms = squares.sqrt()
        self._adamw(gradients, norms, lr_factors)
        self._loss.zero_grad()
        return losses, norms

    @torch.no_grad()
    def _adamw(self, gradients: dict[str, DTensor], norms: Tensor, lr_factors: Sequence[float]) -> None:
        self.updates += 1
        clip = torch.clamp(self.optimizer.clip_norm / (norms + 1e-6), max=1.0)
        for name, parameter in self._named.items():
            local = [
                t.to_local().view(1, -1) for t in (parameter, gradients[name], self.first[name], self.second[name])
            ]
            values, gradient, first, second = local
            decayed = values.shape[1] if adamw.decays(name) else 0
            adamw.update(
                [self.optimizer], lr_factors, [self.updates], decayed, (values, gradient * clip, first, second)
            )

    def _state(self) -> dict[str, DTensor]:
        kinds: dict[str, dict[str, DTensor]] = {"values": self._named, "first": self.first, "second": self.second}
        return {f"{kind}.{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}

    def write_state(self, store: Store, run_id: str, row: int, clock: Clock) -> None:
        """Store a point to go on from: each rank its own file, then the first rank the clock that makes it count."""
        with tempfile.TemporaryDirectory(prefix="physlm-") as folder:
            # In safetensors: the format of distributed checkpoints by default has a pickle in it.
            save(self._state(), storage_writer=HuggingFaceStorageWriter(folder, save_distributed=True))
            for file in sorted(Path(folder).iterdir()):
                store.put_file(layout.sharded_key(run_id, clock.tokens, file.name), file)
        self.ranks.barrier()
        if self.ranks.is_first:
            save_clock(store, run_id, clock)
        self.ranks.barrier()

    def restore(self, row: int, state: ShardedState) -> None:
        """Go on from where the run was stored by any number of ranks. Raises CorruptObject for a damaged file."""
        with tempfile.TemporaryDirectory(prefix="physlm-") as folder:
            for key in state.files:
                state.store.get_file(key, Path(folder) / key.rpartition("/")[2])
            load(self._state(), storage_reader=HuggingFaceStorageReader(folder))
        self.updates = state.clock.updates

    def parameters(self, row: int) -> dict[str, Tensor]:
        """The parameters by name, whole on every rank."""
        return {name: parameter.full_tensor().detach()[0].cpu() for name, parameter in self._named.items()}


def _dtensor(tensor: Tensor | None) -> DTensor:
    assert isinstance(tensor, DTensor)
    return tensor
