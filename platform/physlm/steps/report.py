"""The step `report`: the page."""

from __future__ import annotations

from physlm.experiment import Experiment
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import Outcome, Step, register
from physlm.store import Store, layout


@register
class Report(Step):
    """Make the experiment's page with its figures, from what is stored."""

    name = "report"
    reads = (
        layout.experiment_file_key,
        layout.world_card_key,
        layout.run_key,
        layout.completed_key,
        layout.observations_key,
        layout.sweep_key,
        layout.law_key,
        layout.conventions_key,
        layout.groups_key,
    )
    writes = (layout.figure_key, layout.report_key)
    shows = ("page",)

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> str:
        """Make them, and return the page's key."""
        from physlm.evaluation.declarations import declarations
        from physlm.report import page

        key = page.write(store, experiment, declarations())
        on_event(Event(self.name, 1, 1, "pages", key))
        return key

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        key = layout.report_key(experiment.key)
        return Outcome({"report": store.address(key)}, f"page: {store.address(key)}", page=store.get(key))
