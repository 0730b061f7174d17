"""The step `generate`: worlds."""

from __future__ import annotations

from physlm import datasets, runs
from physlm.experiment import Experiment
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import Step, register
from physlm.store import Store, layout


@register
class Generate(Step):
    """Write the experiment's worlds: the facts that its synthetic languages speak of, and the evaluation sets.

    Each is written once, with a card that says what it is, and checksums.
    """

    name = "generate"
    writes = (
        layout.facts_key,
        layout.vocabulary_key,
        layout.evaluation_key,
        layout.world_card_key,
        layout.world_card_text_key,
    )
    quick = True

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
        """Write what the store lacks. Raises StoreError if it holds other facts than this version would make."""
        everything = experiment.by_id.values()
        configs = {config for run in everything for config in (run.task, *run.mixed.values())}
        worlds = {runs.world_id(config): config for config in configs}
        for done, (_, config) in enumerate(sorted(worlds.items()), 1):
            datasets.write_world(store, config)
            on_event(Event(self.name, done, len(worlds), "worlds"))
