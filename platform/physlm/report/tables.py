"""Tables of the page: of runs, and of what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from physlm.report import formatting
from physlm.report.conditions import SIZE, Condition, Measured, is_number, label, levels, spread
from physlm.report.page_data import Evidence

MOST_ROWS = 60


@dataclass(frozen=True)
class Heading:
    """A column's heading; numbers stand to the right."""

    text: str
    note: str = ""
    number: bool = True


@dataclass(frozen=True)
class Cell:
    """A cell's text, with a smaller note behind it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first `row_headings` cells of a row head it."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]] = field(default=())
    row_headings: int = 1


def captioned(table: Table, caption: str) -> Table:
    """The table with another caption."""
    return replace(table, caption=caption)


def runs(evidence: Evidence, conditions: Sequence[Condition], measures: Mapping[str, str]) -> Table:
    """One row for each condition, its measures averaged over seeds; of many conditions some that span the grid.

    measures: unit by name.
    """
    shown = spread(conditions, MOST_ROWS)
    quantities = [SIZE, *(name for name in conditions[0].values)]
    heads = [Heading(label(q), number=is_number(levels(conditions, q))) for q in quantities]
    common = {name: _common_levels(name, conditions) for name in measures}
    columns = [_measure_heading(name, unit, common[name]) for name, unit in measures.items()]
    rows = []
    for condition in shown:
        cells = [Cell(formatting.level(condition.level(q))) for q in quantities]
        cells[0] = Cell(cells[0].text, "held out" if condition.held_out else "")
        cells.append(_seeds(evidence, condition))
        cells += [_measured(condition.measured.get(name), common[name]) for name in measures]
        rows.append(cells)
    caption = "Conditions, with the mean ± its standard error over seeds, of the ceiling where there is one"
    if len(shown) < len(conditions):
        caption += f"; {len(shown)} of {len(conditions):,}, evenly spread over the grid"
    return Table(f"{caption}.", [*heads, Heading("seeds"), *columns], rows, row_headings=len(quantities))


def _measure_heading(name: str, unit: str, common: Mapping[str, float]) -> Heading:
    """The measure with its unit, and with the levels that are the same in all conditions."""
    text = name.replace("_", " ")
    notes = [] if unit in ("1", text) else [unit]
    notes += [f"{kind} {formatting.number(value)}" for kind, value in common.items()]
    return Heading(text, ", ".join(notes))


def _common_levels(name: str, conditions: Sequence[Condition]) -> dict[str, float]:
    measured = [c.measured[name] for c in conditions if name in c.measured]
    common = {}
    for kind in ("chance", "floor", "ceiling"):
        values = {getattr(m, kind) for m in measured}
        if len(values) == 1 and (value := values.pop()) is not None:
            common[kind] = value
    return common


def _measured(measured: Measured | None, common: Mapping[str, float]) -> Cell:
    if measured is None:
        return Cell(formatting.MISSING)
    notes = [
        f"{word} {formatting.number(value)}"
        for kind, word in (("floor", "floor"), ("ceiling", "of"))
        if kind not in common and (value := getattr(measured, kind)) is not None
    ]
    return Cell(formatting.with_error(measured.mean, measured.stderr), ", ".join(notes))


def _seeds(evidence: Evidence, condition: Condition) -> Cell:
    states = [evidence.status(run) for run in condition.runs]
    trained = states.count("trained")
    notes = [f"{states.count(state)} {state}" for state in ("diverged", "missing") if state in states]
    return Cell(f"{trained}" if trained == len(states) else f"{trained} of {len(states)}", ", ".join(notes))


def cost(evidence: Evidence) -> Table:
    """Runs, tokens, FLOPs and seconds of training, by size of the model; of many sizes some that span them."""
    sums: dict[int, list[float]] = {}
    for run in evidence.experiment.runs:
        marker = evidence.markers.get(run.run_id)
        if marker is not None:
            row = sums.setdefault(run.parameters_counted, [0, 0.0, 0.0, 0.0])
            for i, amount in enumerate((1, marker["tokens"], marker["flops"], marker["seconds"])):
                row[i] += amount
    sizes = sorted(sums)
    rows = [_cost_row(f"{size:,}", sums[size]) for size in sizes[:: -(-len(sizes) // 12) or 1]]
    total = [sum(sums[size][i] for size in sizes) for i in range(4)]
    caption = "Training by counted parameters" + ("; not every size is shown." if len(rows) < len(sizes) else ".")
    return Table(
        caption,
        [Heading("parameters"), Heading("runs"), Heading("tokens"), Heading("FLOPs"), Heading("training time")],
        [*rows, _cost_row("all", total)],
    )


def _cost_row(name: str, sums: Sequence[float]) -> list[Cell]:
    runs_, tokens, flops, seconds = sums
    return [
        Cell(name),
        Cell(f"{int(runs_):,}"),
        Cell(formatting.amount(tokens)),
        Cell(formatting.number(flops)),
        Cell(formatting.duration(seconds)),
    ]


def total_cost(evidence: Evidence) -> tuple[float, float, float]:
    """Tokens, FLOPs and seconds of training, all runs together."""
    markers = evidence.markers.values()
    return (
        float(sum(marker["tokens"] for marker in markers)),
        float(sum(marker["flops"] for marker in markers)),
        float(sum(marker["seconds"] for marker in markers)),
    )
