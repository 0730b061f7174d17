"""What measures say of a model's layers, of the condition that the page looks into: before and after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import polars as pl

from physlm.report import formatting, tables
from physlm.report.conditions import Condition
from physlm.report.page_data import Evidence
from physlm.report.tables import Cell, Heading, Table


@dataclass(frozen=True)
class Kind:
    """A measure that has a value for each layer and place.

    target   of the rows that are shown
    axis     what the places are
    verb     how its largest value is told, before the number
    parts    where each place is a measure of its own, with rows by layer alone: their names behind `<measure>.`
    """

    target: str | None
    axis: str
    title: str
    verb: str
    caption: str
    parts: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "attention.distance": Kind(
        "heads",
        "distance",
        "Where attention looks, by layer and distance",
        "Attention puts most weight",
        "Mean weight on the token so many places back, over heads and over all tokens that have one.",
    ),
    "attention.boundary": Kind(
        "level",
        "level",
        "Attention from boundary to boundary, by layer and level",
        "Beyond what positions tell, the end of a symbol puts most weight on the end of the one before it",
        "Mean weight from the end of a symbol to the end of the one before it in its level, less the mean weight "
        "between the same two positions over all sentences. Chance is 0.",
    ),
    "patching": Kind(
        None,
        "role",
        "Which states carry the fact, by layer and role",
        "Put into the counterfactual run, these states bring back more than half of the answer",
        "Share of the answer's difference of logits that comes back with these states of the other run, all of a role "
        "at once: those of the tokens that say the fact (carrier), of the position that writes the answer (last), and "
        "all others. Layer 0 is the embedding; there the carrier gives 100 by construction, as the last position does "
        "behind the last layer. See in which layer the fact changes over, and whether it stops over in between. A "
        "model to which the fact makes no sure difference, as often before training, has none to show.",
        ("carrier", "other", "last"),
    ),
    "patching.recovery": Kind(
        "position",
        "position",
        "Which states carry the fact, by layer and position",
        "Put into the counterfactual run, most of the answer brings back the state",
        "Share of the answer's difference of logits that comes back with this one state of the other run. Layer 0 is "
        "the embedding.",
    ),
}
WHOLE = ("attention.", "patching.", "regret.")
"""Prefixes of the measures that the table tells of models as wholes."""

Values = Mapping[tuple[int, int], float]
"""By layer and place."""


@dataclass(frozen=True)
class Inside:
    """One measure of one condition, a mean over its seeds: after training and before."""

    measure: str
    kind: Kind
    condition: Condition
    trained: Values
    untrained: Values

    @property
    def layers(self) -> list[int]:
        return sorted({layer for layer, _ in self.trained})

    @property
    def places(self) -> list[int]:
        return sorted({place for _, place in self.trained})

    def name(self, place: int) -> str:
        """A place for people."""
        return self.kind.parts[place] if self.kind.parts else str(place)

    @property
    def finding(self) -> str:
        """Where the parts bring back most, or the largest value, in a sentence.

        The latter behind the embedding, where all is as it was put.
        """
        if self.kind.parts:
            return f"{self.kind.verb}: {formatting.several(list(self._most()))}."
        inner = {at: value for at, value in self.trained.items() if 0 < at[0] < max(self.layers)}
        at, value = max((inner or self.trained).items(), key=lambda item: item[1])
        before = self.untrained.get(at)
        text = f"{self.kind.verb}, {formatting.percent(value)}, at layer {at[0]} and {self.kind.axis} {at[1]}"
        return f"{text} (before training {formatting.percent(before)})." if before is not None else f"{text}."

    def _most(self) -> Iterator[str]:
        """Each part with the layers in which its value is above a half."""
        for place in self.places:
            layers = [layer for layer in self.layers if self.trained.get((layer, place), 0.0) > 0.5]
            if layers:
                plural = "s" if len(layers) > 1 else ""
                yield f"{self.name(place)} (layer{plural} {formatting.several(list(map(str, layers)))})"


def found(evidence: Evidence, conditions: Sequence[Condition]) -> list[Inside]:
    """All such measures of the condition trained most."""
    rows = evidence.observations.filter(pl.col("layer").is_not_null(), pl.col("value").is_not_null())
    result = []
    for name, kind in KINDS.items():
        own = _own(rows, name, kind)
        present = set(own.filter(pl.col("measure") == name)["run_id"])
        if candidates := [c for c in conditions if any(run.run_id in present for run in c.runs)]:
            condition = max(candidates, key=lambda c: c.runs[0].flops)
            means = own.filter(pl.col("run_id").is_in([run.run_id for run in condition.runs])).sort("run_id")
            means = means.group_by("measure", "layer", "position", maintain_order=True).agg(pl.col("value").mean())
            values: dict[str, dict[tuple[int, int], float]] = {name: {}, f"{name}.untrained": {}}
            for row in means.iter_rows(named=True):
                values[row["measure"]][row["layer"], row["position"]] = row["value"]
            result.append(Inside(name, kind, condition, values[name], values[f"{name}.untrained"]))
    return result


def _own(rows: pl.DataFrame, name: str, kind: Kind) -> pl.DataFrame:
    """The rows of a kind as those of one measure and its control, with the number of each part as its position."""
    if not kind.parts:
        measures = [name, f"{name}.untrained"]
        return rows.filter(
            pl.col("measure").is_in(measures), pl.col("target") == kind.target, pl.col("position").is_not_null()
        )
    places, names = {}, {}
    for control in ("", ".untrained"):
        for place, part in enumerate(kind.parts):
            places[f"{name}.{part}{control}"], names[f"{name}.{part}{control}"] = place, f"{name}{control}"
    return rows.filter(pl.col("measure").is_in(list(places)), pl.col("position").is_null()).with_columns(
        pl.col("measure").replace_strict(places, return_dtype=pl.Int64).alias("position"),
        pl.col("measure").replace_strict(names, return_dtype=pl.String),
    )


def table(evidence: Evidence, conditions: Sequence[Condition]) -> Table | None:
    """What such measures say of the model as a whole, with what they say before training."""
    rows = _of_wholes(evidence)
    present = set(rows["run_id"])
    candidates = [c for c in conditions if any(run.run_id in present for run in c.runs)]
    if not candidates:
        return None
    runs = [run.run_id for run in max(candidates, key=lambda c: c.runs[0].flops).runs]
    whole = rows.filter(pl.col("run_id").is_in(runs)).sort("run_id")
    grouped = {
        row["measure"]: row
        for row in whole.group_by("measure", maintain_order=True)
        .agg(
            pl.col("value").mean(),
            pl.col("value").std().alias("spread"),
            pl.col("stderr").mean(),
            pl.len().alias("seeds"),
            pl.col("unit").first(),
        )
        .iter_rows(named=True)
    }

    def cell(name: str) -> Cell:
        row = grouped.get(name)
        if row is None:
            return Cell(formatting.MISSING)
        error = row["stderr"] if row["seeds"] == 1 else row["spread"] / sqrt(row["seeds"])
        return Cell(formatting.with_error(row["value"], error))

    measures = sorted(name for name in grouped if not name.endswith(".untrained"))
    cells = [
        [
            Cell(name.replace(".", ": ").replace("_", " ")),
            cell(name),
            cell(f"{name}.untrained"),
            Cell(grouped[name]["unit"]),
        ]
        for name in measures
    ]
    caption = "Of models as wholes: mean over seeds ± its standard error (over instances where there is one seed)."
    heads = [Heading("measure", number=False), Heading("after training"), Heading("before training")]
    return Table(caption, [*heads, Heading("unit", number=False)], cells)


def by_condition(evidence: Evidence, conditions: Sequence[Condition]) -> Table | None:
    """What such measures say of trained models as wholes, for each condition; None where there is one condition."""
    rows = _of_wholes(evidence).filter(~pl.col("measure").str.ends_with(".untrained"))
    units = dict(rows.select("measure", "unit").unique().sort("measure").iter_rows())
    if not units or len(conditions) < 2:
        return None
    table = tables.runs(evidence, conditions, units)
    return replace(table, caption="Of models as wholes, by condition: mean ± its standard error over seeds.")


def _of_wholes(evidence: Evidence) -> pl.DataFrame:
    names = pl.any_horizontal(*(pl.col("measure").str.starts_with(prefix) for prefix in WHOLE))
    return evidence.measured.filter(names).drop_nulls("value")
