"""What the page says of one law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latex2mathml.converter import convert
from markupsafe import Markup

from physlm.experiment import Experiment
from physlm.fitting import Comparison, Estimate, Fit
from physlm.report import formatting
from physlm.report.figures import Drawing, groups, held_out, interval, isoflop, law, profiles, residuals
from physlm.report.tables import Cell, Heading, Table

_MOST_ROWS = 40


@dataclass(frozen=True)
class LawSection:
    """A law's part of the page, in words, tables and figures; `name` is part of ids."""

    name: str
    heading: str
    verdict: str
    reason: str
    figures: Sequence[Drawing]
    formula: Markup
    about: str
    parameters: Table
    rivals: Table | None
    rivals_text: str
    conventions_text: str
    groups_figures: Sequence[Drawing]
    groups_text: str
    held_out: Table | None
    held_out_text: str
    held_out_figures: Sequence[Drawing]


def law_section(
    fit: Fit,
    experiment: Experiment,
    conventions: Sequence[Mapping[str, Any]] = (),
    grouped: Sequence[Mapping[str, Any]] = (),
) -> LawSection:
    """Everything the page says of a law.

    conventions: fits under others, the usual one first. grouped: one law for all against one for each group.
    """
    published, tested = interval.draw(fit), held_out.draw(fit)
    return LawSection(
        name=fit.law,
        heading=fit.model.title,
        verdict=fit.verdict,
        reason=f"{formatting.capitalized(fit.reason)}.",
        figures=[
            d for d in (law.draw(fit), published, isoflop.draw(fit), residuals.draw(fit), profiles.draw(fit)) if d
        ],
        formula=formula(fit.model.latex, display=True),
        about=_about(fit),
        parameters=_parameters(fit),
        rivals=_rivals(fit) if len(fit.comparisons) > 1 else None,
        rivals_text=_rivals_text(fit.comparisons),
        conventions_text=conventions_text(conventions),
        groups_figures=[groups.draw(found) for found in grouped],
        groups_text=groups_text(grouped),
        held_out=_held_out(fit) if fit.held_out else None,
        held_out_text=_held_out_text(fit, experiment),
        held_out_figures=[tested] if tested else [],
    )


def answer(fit: Fit, experiment: Experiment) -> str:
    """The question's answer in one sentence."""
    best = fit.headline
    value, reach = formatting.between(best.value, best.interval.low, best.interval.high)
    models = sorted({run.model.type for run in experiment.runs})
    unit = "" if best.unit == "1" else f" {best.unit}"
    return (
        f"In trained {formatting.several(models)} models, the {best.meaning} is {value}{unit} "
        f"({formatting.percent(best.interval.level)} interval {reach})."
    )


def formula(latex: str, *, display: bool) -> Markup:
    """A formula as MathML."""
    return Markup(convert(latex, display="block" if display else "inline"))


def warnings(fit: Fit) -> list[str]:
    """What went less than well in the fit, a sentence each."""
    found = []
    if not fit.converged:
        found.append(f"The fit of the law {fit.law} did not converge: don't rely on its figures.")
    if fit.left_out:
        found.append(
            f"The law {fit.law} is fitted without {formatting.count(fit.left_out, 'run')}: in their conditions "
            "a run has "
            "learned nothing, of which the law says nothing."
        )
    for e in fit.estimates:
        if e.at_bound:
            found.append(
                f"The law {fit.law}: {formatting.symbol(e.name)} is at the bound of what it may be, {_value(e)}."
            )
        elif not e.identified:
            found.append(
                f"The law {fit.law}: the data don't identify {formatting.symbol(e.name)}; its interval is cut "
                "off at the "
                "bounds of what it may be."
            )
    return found


def _about(fit: Fit) -> str:
    law = fit.model
    variables = [f"{v.name} is {v.meaning}" + ("" if v.unit in v.meaning else f" in {v.unit}") for v in law.variables]
    return f"{formatting.capitalized(formatting.several(variables))}."


def _value(e: Estimate) -> str:
    return formatting.between(e.value, e.interval.low, e.interval.high)[0]


def _parameters(fit: Fit) -> Table:
    rows = []
    for e in (*fit.estimates, *fit.derived):
        value, reach = formatting.between(e.value, e.interval.low, e.interval.high)
        state = "at its bound" if e.at_bound else "" if e.identified else "not identified"
        rows.append(
            [
                Cell(formatting.symbol(e.name)),
                Cell(e.meaning),
                Cell(value, state),
                Cell(reach),
                Cell("" if e.unit == "1" else e.unit),
                Cell("; ".join(anchor.source for anchor in e.anchors) or formatting.MISSING),
            ]
        )
    return Table(
        "Estimates with their intervals, beside what others have published.",
        [
            Heading("symbol", number=False),
            Heading("meaning", number=False),
            Heading("estimate"),
            Heading(f"{formatting.percent(fit.level)} interval"),
            Heading("unit", number=False),
            Heading("published", number=False),
        ],
        rows,
    )


def _rivals(fit: Fit) -> Table:
    own = fit.comparisons[0].aicc
    return Table(
        "The law and its rivals, fitted to the same conditions. Lower is better.",
        [
            Heading("form", number=False),
            Heading("formula", number=False),
            Heading("parameters"),
            Heading("AICc", "above the law's"),
            Heading("error", "on a size left out"),
        ],
        [
            [
                Cell(c.form, "the law" if i == 0 else ""),
                Cell(formula(c.latex, display=False)),
                Cell(str(c.parameters)),
                Cell(formatting.MISSING if c.aicc is None or own is None else formatting.number(c.aicc - own)),
                Cell(formatting.percent(c.left_out_error)),
            ]
            for i, c in enumerate(fit.comparisons)
        ],
    )


def _rivals_text(comparisons: Sequence[Comparison]) -> str:
    """Which form does best by each criterion, said of the law."""
    if len(comparisons) < 2:
        return ""
    own, *rivals = comparisons
    parts = []
    for name, values in (
        ("AICc, which weighs fit against number of parameters", [c.aicc for c in comparisons]),
        ("the error on a size left out", [c.left_out_error for c in comparisons]),
    ):
        known = [(value, c) for value, c in zip(values, comparisons, strict=True) if value is not None]
        if values[0] is None or len(known) < 2:
            continue
        best = min(known, key=lambda item: item[0])[1]
        parts.append(f"by {name}, " + ("the law does best" if best is own else f"the rival “{best.form}” does better"))
    text = "; ".join(parts) or "too few conditions to tell them apart"
    return f"Compared with {formatting.count(len(rivals), 'rival form')}: {text}."


def conventions_text(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """Which conclusions turn under other conventions, and how; nothing if none was tried."""
    if len(outcomes) < 2:
        return ""
    usual, *others = outcomes
    told = []
    for other in others:
        for name in other["flips"]:
            if name == "verdict":
                told.append(f"{other['convention']} the verdict is {other['verdict']}, not {usual['verdict']}")
            else:
                value, before = other["estimates"][name][0], usual["estimates"][name][0]
                told.append(
                    f"{other['convention']} {formatting.symbol(name)} is {formatting.number(value)}, "
                    f"not {formatting.number(before)}"
                )
    tried = formatting.several([other["convention"] for other in others if not other["refused"]])
    refused = [other["convention"] for other in others if other["refused"]]
    text = f"Other conventions were tried: {tried}. " if tried else ""
    if told:
        text += f"Some conclusions depend on them: {'; '.join(told)}. "
    elif tried:
        text += "No conclusion turns. "
    if refused:
        text += f"The law can't be fitted {formatting.several(refused)}."
    return text.strip()


def groups_text(grouped: Sequence[Mapping[str, Any]]) -> str:
    """How much groups differ, beyond what the figures say; nothing if there are none."""
    told = []
    for found in grouped:
        for each in found["partial"]:
            spread, low, high = map(formatting.number, each["spread"])
            value, reach = formatting.between(each["mean"][0], *each["new"])
            told.append(
                f"{formatting.symbol(each['parameter'])} is {value} on average over {found['by']} and spreads "
                f"by {spread} "
                f"({low} to {high}) between groups, so that a new one has {reach}"
            )
        told += found["not_partial"]
    return "".join(f"{formatting.capitalized(sentence)}. " for sentence in told).strip()


def _held_out(fit: Fit) -> Table:
    law = fit.model
    shown = list(fit.held_out)[:: -(-len(fit.held_out) // _MOST_ROWS)]
    unit = "" if law.response.unit == "1" else law.response.unit
    caption = f"Held-out conditions: {law.response.meaning}, observed and predicted"
    if len(shown) < len(fit.held_out):
        caption += f"; {len(shown)} of {len(fit.held_out):,} are shown"
    rows = []
    for h in shown:
        predicted, reach = formatting.between(h.predicted, h.interval.low, h.interval.high)
        rows.append(
            [
                *(
                    Cell(
                        fit.levels[v.name][int(h.variables[v.name])]
                        if v.category
                        else formatting.exact(h.variables[v.name])
                    )
                    for v in law.variables
                ),
                Cell(str(h.seeds)),
                Cell(formatting.number(h.observed, 4)),
                Cell(predicted),
                Cell(reach, "" if h.inside else "missed"),
                Cell(formatting.percent(h.error_ratio)),
            ]
        )
    return Table(
        f"{caption}.",
        [
            *(Heading(v.name, "" if v.unit == "1" else v.unit) for v in law.variables),
            Heading("seeds"),
            Heading("observed", unit),
            Heading("predicted", unit),
            Heading(f"{formatting.percent(fit.level)} interval", "of the observation"),
            Heading("error"),
        ],
        rows,
        row_headings=len(law.variables),
    )


def _held_out_text(fit: Fit, experiment: Experiment) -> str:
    if not fit.held_out:
        return (
            "Nothing was held out, so the law has not been tested. Name conditions under hold_out in the experiment "
            "file, such as the largest size."
        )
    chosen = experiment.file.hold_out.items()
    told = [f"{path} = {formatting.several([formatting.level(value) for value in values])}" for path, values in chosen]
    where = f" ({formatting.several(told)})" if told else ""
    return (
        f"The law was fitted to {formatting.count(fit.conditions, 'condition')} and then had to predict "
        f"{formatting.count(len(fit.held_out), 'condition')} that it had not seen{where}. Its mean error is "
        f"{formatting.percent(fit.heldout_error_ratio)}; seeds of one condition differ by "
        f"{formatting.percent(fit.seed_noise)}."
    )
