# A newcomer's step, which tests/test_one_file.py tries in a copy.
# Belongs to platform/physlm/steps/export.py
"""The step `export`: the collected observations for spreadsheets."""

from __future__ import annotations

from physlm import catalog
from physlm.experiment import Experiment
from physlm.steps.events import Event, Listener, silent
from physlm.steps.step import Outcome, Step, register
from physlm.store import Store, layout


def csv_key(experiment: str) -> str:
    """Key of the table as CSV."""
    return layout.result_key(experiment, "observations.csv")


@register
class Export(Step):
    """Write the experiment's collected observations as CSV beside its page, for a spreadsheet."""

    name = "export"
    reads = (layout.experiment_file_key, layout.observations_key)
    writes = (csv_key,)

    def run(self, store: Store, experiment: Experiment, on_event: Listener = silent) -> None:
        """Write it. Raises MissingObject if nothing was collected."""
        table = catalog.read(store, layout.observations_key(experiment.key))
        plain = [name for name, kind in table.schema.items() if not kind.is_nested()]
        store.put(csv_key(experiment.key), table.select(plain).write_csv().encode())
        on_event(Event(self.name, table.height, table.height, "observations"))

    def outcome(self, store: Store, experiment: Experiment) -> Outcome:
        where = store.address(csv_key(experiment.key))
        return Outcome({"csv": where}, f"table: {where}")
