"""Trained models from the store, as measures and probes see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from physlm.measures.measure import Member
from physlm.measures.untrained import untrained
from physlm.models.decoder import Decoder
from physlm.runs import Run
from physlm.store import layout
from physlm.store.store import Store
from physlm.training import hardware
from physlm.training.checkpoints import load_model


@dataclass(frozen=True)
class Trained:
    """A run that was trained to its end, without divergence, and how much of its data it has seen by then."""

    run: Run
    tokens: int
    instances: int

    @property
    def member(self) -> Member:
        """The run's model as a measure sees it."""
        run = self.run
        return Member(run.language, run.seed, run.context_length, run.parameters_counted, run.training.mask_share)


def trained_runs(store: Store, cohort: Sequence[Run]) -> list[Trained]:
    """Those that have a model to look at: a diverged run has none. Raises MissingObject for a run not trained."""
    markers = [(run, store.get_json(layout.completed_key(run.run_id))) for run in cohort]
    return [Trained(run, m["tokens"], m["instances"]) for run, m in markers if m["status"] == "trained"]


def load(store: Store, trained: Sequence[Trained]) -> Decoder:
    """The models of runs of one shape as one decoder, on this rank's device."""
    first = trained[0].run
    decoder = Decoder(first.model, len(first.language.vocabulary), len(trained))
    parameters = dict(decoder.named_parameters())
    with torch.no_grad():
        for row, one in enumerate(trained):
            for name, value in load_model(store, one.run.run_id, one.tokens).items():
                parameters[name][row] = value
    return decoder.to(hardware.own_device()).eval()


def with_untrained(decoder: Decoder, members: Sequence[Member]) -> Decoder:
    """The models and, behind them, the same models with their initial parameters, frozen."""
    both = Decoder(decoder.config, decoder.vocabulary, 2 * len(members)).to(decoder.embedding.device)
    initial = dict(untrained(decoder, members).named_parameters())
    parameters = dict(both.named_parameters())
    with torch.no_grad():
        for name, value in decoder.named_parameters():
            parameters[name].copy_(torch.cat([value, initial[name]]))
    return both.eval().requires_grad_(False)
