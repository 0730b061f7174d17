"""The page of an experiment: one HTML file with everything in it, for people and for print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import physlm
from physlm.catalog import Declarations
from physlm.experiment import Experiment
from physlm.report import difficulty, formatting, layer_maps, probe_section, style, svg, tables
from physlm.report.conditions import Condition, conditions
from physlm.report.figures import Drawing, heat_map, layer_map, learning_curves, measures
from physlm.report.figures import difficulty as difficulty_figure
from physlm.report.law_section import answer, law_section, warnings
from physlm.report.page_data import Evidence, gather
from physlm.store import Store, layout

MOST_RUN_IDS = 200


def write(store: Store, experiment: Experiment, declarations: Declarations) -> str:
    """Write the experiment's figures and then its page; returns the page's key.

    declarations: of all measures and probes. The page draws each number as these say; it knows none by name.
    The same stored results give the same bytes. Raises MissingObject when nothing has been collected yet.
    """
    evidence = gather(store, experiment, declarations)
    with style.applied():
        html, files = _compose(evidence)
    for name, data in files.items():
        store.put(layout.figure_key(experiment.key, name), data)
    key = layout.report_key(experiment.key)
    store.put(key, html.encode())
    return key


@dataclass(frozen=True)
class _Shown:
    """A figure as part of the page."""

    title: str
    finding: str
    caption: str
    svg: Markup


class _Figures:
    """Turns drawings into parts of the page, and keeps their files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def show(self, drawing: Drawing) -> _Shown:
        data = style.save(drawing.figure, "svg")
        self.files[f"{drawing.name}.svg"] = data
        self.files[f"{drawing.name}.png"] = style.save(drawing.figure, "png")
        inlined = svg.inline(data, drawing.name.replace("_", "-"), drawing.title, drawing.finding)
        return _Shown(drawing.title, drawing.finding, drawing.caption, Markup(inlined))


def _compose(evidence: Evidence) -> tuple[str, Mapping[str, bytes]]:
    experiment = evidence.experiment
    figures = _Figures()
    grid = conditions(evidence)
    known = evidence.measured["measure"].unique().sort()
    responses = [name for fit in evidence.fits.values() for name in fit.model.response.matching(known)]
    leading = measures.leading(evidence, responses, experiment.file.measure)
    curves = learning_curves.draw(evidence, grid)
    measured = measures.draw(leading, grid)
    found = probe_section.probed(evidence, grid)
    layers = layer_maps.found(evidence, grid)
    sections = [
        law_section(fit, experiment, evidence.conventions.get(name, ()), evidence.groups.get(name, ()))
        for name, fit in evidence.fits.items()
    ]
    answers = [answer(fit, experiment) for fit in evidence.fits.values()]
    html = _template().render(
        version=physlm.__version__,
        light=Markup(svg.css_variables(dark=False)),
        dark=Markup(svg.css_variables(dark=True)),
        css=Markup(_beside("page.css").read_text(encoding="utf-8")),
        name=experiment.name,
        experiment_id=experiment.experiment_id,
        question=experiment.file.question,
        key=experiment.key,
        source=experiment.source,
        answers=[*(answers or [_without_law(evidence, grid, leading)]), *map(probe_section.answer, found[:1])],
        key_figures=_key_figures(evidence, grid),
        laws=sections,
        show=figures.show,
        curves=curves,
        measures=measured,
        probes=[(heat_map.draw(probed), probe_section.table(probed)) for probed in found],
        probes_text=_probes_text(found, grid),
        probes_by_condition=[
            (
                heat_map.draw_conditions(probe_section.elsewhere(probed, evidence, grid)),
                probe_section.by_condition(probed, evidence, grid),
            )
            for probed in found
            if len(grid) > 1
        ],
        inside=[layer_map.draw(one) for one in layers],
        inside_text=_inside_text(layers, grid),
        inside_table=layer_maps.table(evidence, grid),
        inside_by_condition=layer_maps.by_condition(evidence, grid),
        difficulties=[(part, difficulty_figure.draw(part)) for part in difficulty.found(evidence, grid)],
        runs=tables.runs(evidence, grid, leading),
        runs_text=_runs_text(evidence, grid),
        runs_more="All observations, with learning curves and every measure:",
        observations_key=layout.observations_key(experiment.key),
        cost=tables.cost(evidence),
        cost_text=_cost_text(evidence),
        notes=_notes(evidence),
        identities=_identities(evidence),
        run_ids=[run.run_id for run in experiment.runs[:MOST_RUN_IDS]],
        run_ids_text=f"Identities of the {formatting.count(len(experiment.runs), 'run')}",
        run_ids_more=_more_run_ids(experiment),
    )
    return html, figures.files


@lru_cache(maxsize=1)
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_beside("")), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html")


def _beside(name: str) -> Path:
    return Path(__file__).parent / name


def _without_law(evidence: Evidence, grid: Sequence[Condition], leading: Mapping[str, str]) -> str:
    """One sentence where no law speaks: what was measured, and its range."""
    done = formatting.count(sum(evidence.status(run) == "trained" for run in evidence.experiment.runs), "trained run")
    for name, unit in leading.items():
        values = [c.measured[name].mean for c in grid if name in c.measured]
        scale = "" if unit == "1" else f" {unit}"
        low, high = formatting.number(min(values)), formatting.number(max(values))
        if len(grid) == 1:
            return f"The {name.replace('_', ' ')} is {low}{scale} ({done})."
        over = f"Over {formatting.count(len(values), 'condition')}"
        return f"{over}, {name.replace('_', ' ')} ranges from {low} to {high}{scale} ({done})."
    return f"Nothing has been measured yet ({done})."


def _key_figures(evidence: Evidence, grid: Sequence[Condition]) -> list[tuple[str, str, str]]:
    tokens, flops, seconds = tables.total_cost(evidence)
    headlines = []
    for fit in evidence.fits.values():
        best, error = fit.headline, fit.heldout_error_ratio
        value, reach = formatting.between(best.value, best.interval.low, best.interval.high)
        unit = "" if best.unit == "1" else best.unit
        headlines.append((formatting.capitalized(best.meaning), value, f"{unit} ({reach})".strip()))
        if error is not None:
            note = f"of the law {fit.law} on {formatting.count(len(fit.held_out), 'condition')}"
            headlines.append(("Held-out error", formatting.percent(error), note))
    return [
        *headlines,
        ("Runs", f"{len(evidence.markers):,}", f"{formatting.count(len(grid), 'condition')}"),
        (
            "Training",
            formatting.duration(seconds),
            f"{formatting.amount(tokens)} tokens, {formatting.number(flops)} FLOPs",
        ),
    ]


def _runs_text(evidence: Evidence, grid: Sequence[Condition]) -> str:
    experiment = evidence.experiment
    seeds = len(experiment.file.seeds)
    states = [evidence.status(run) for run in experiment.runs]
    counts = [f"{states.count(s):,} {s}" for s in ("trained", "diverged", "missing") if s in states]
    text = f"{formatting.count(len(grid), 'condition')}, each with {formatting.count(seeds, 'seed')}: "
    text += f"{formatting.several(counts)}."
    held_out = sum(map(experiment.held_out, experiment.runs))
    if held_out:
        text += f" {formatting.count(held_out, 'run')} held out: no law has seen them."
    return text


def _probes_text(found: Sequence[probe_section.Probed], grid: Sequence[Condition]) -> str:
    text = "Small readouts, trained on frozen states and tested on instances that they were not trained on"
    return _condition_text(text, found[0].condition, grid) if found else ""


def _inside_text(layers: Sequence[layer_maps.LayerValues], grid: Sequence[Condition]) -> str:
    text = "Numbers taken from inside the models"
    return _condition_text(text, layers[0].condition, grid) if layers else f"{text}, of the condition trained most."


def _condition_text(text: str, condition: Condition, grid: Sequence[Condition]) -> str:
    """A sentence that says of which condition what follows is."""
    if len(grid) > 1:
        values = [f"{name} {formatting.level(value)}" for name, value in condition.values.items()]
        text += f", of the condition with the most training: {formatting.several(values)}"
    return f"{text}; {formatting.count(len(condition.runs), 'seed')}."


def _cost_text(evidence: Evidence) -> str:
    tokens, flops, seconds = tables.total_cost(evidence)
    return (
        f"{formatting.count(len(evidence.markers), 'run')} took {formatting.amount(tokens)} tokens and "
        f"{formatting.number(flops)} FLOPs of training. These don't depend on the machine; the time does: "
        f"{formatting.duration(seconds)} of training steps, summed over runs; runs that trained together share theirs."
    )


def _notes(evidence: Evidence) -> list[str]:
    experiment = evidence.experiment
    notes = []
    for state, meaning in (
        ("diverged", "diverged: their loss became infinite or no number. They count in no measure and no law"),
        ("missing", "not trained yet. The page shows what is there"),
    ):
        ids = [run.run_id for run in experiment.runs if evidence.status(run) == state]
        if ids:
            notes.append(f"{formatting.count(len(ids), 'run')} {meaning}: {formatting.several(ids)}.")
    notes += [f"The law {law} can't be fitted: {reason}." for law, reason in evidence.refused.items()]
    if absent := [law for law in experiment.file.laws if law not in evidence.fits and law not in evidence.refused]:
        notes.append(f"Not fitted yet: {formatting.several(absent)}.")
    notes += _sweep_notes(evidence)
    for fit in evidence.fits.values():
        notes += warnings(fit)
    if len(evidence.makers) > 1:
        notes.append("The runs were trained by more than one set of software versions; they are listed below.")
    return notes


def _sweep_notes(evidence: Evidence) -> list[str]:
    """What was chosen how often, and whether the sweep was wide enough."""
    if not evidence.choices:
        return []
    swept = evidence.experiment.file.sweep
    best = [choice.best for choice in evidence.choices if choice.best]
    counts = Counter(", ".join(f"{path} = {formatting.level(c.swept[path])}" for path in swept) for c in best)
    won = formatting.several([f"{text} in {formatting.count(n, 'condition')}" for text, n in counts.most_common()])
    notes = [f"Laws see the best of the sweep alone, chosen by the loss on validation data: {won or 'none was sound'}."]
    if edge := sum(choice.at_edge(swept) for choice in evidence.choices):
        notes.append(
            f"In {formatting.count(edge, 'condition')} the best value is at the edge of the sweep: a wider one "
            "may find "
            "a better."
        )
    return notes


def _identities(evidence: Evidence) -> list[tuple[str, str]]:
    experiment = evidence.experiment
    return [
        ("experiment", experiment.experiment_id),
        *((f"world {world}", _card_text(card)) for world, card in list(evidence.cards.items())[:12]),
        *(("trained with", ", ".join(f"{name} {v}" for name, v in maker.items())) for maker in evidence.makers[:12]),
        ("page made with", f"physlm {physlm.__version__}"),
        ("stored under", experiment.key),
    ]


def _card_text(card: Mapping[str, Any]) -> str:
    return f"{card['task']['type']}, version {card['version']}, SHA-256 of the facts {card['sha256']}"


def _more_run_ids(experiment: Experiment) -> str:
    left = len(experiment.runs) - MOST_RUN_IDS
    return f"and {left:,} more in {layout.plan_key(experiment.key)}" if left > 0 else ""
