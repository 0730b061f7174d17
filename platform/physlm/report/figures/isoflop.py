"""Loss at equal compute against size, and the best size against compute: two views of a Chinchilla fit."""

from __future__ import annotations

import numpy as np

from physlm.fitting import Fit
from physlm.laws.chinchilla import Chinchilla
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing
from physlm.report.figures.points import points

_BUDGETS = 6


def draw(fit: Fit) -> Drawing | None:
    """Left: isoFLOP curves with the runs nearest to each. Right: the best size. None for another law."""
    law = fit.model
    if not isinstance(law, Chinchilla):
        return None
    data = points(fit)
    compute = 6 * data["N"] * data["D"]
    budgets = np.geomspace(compute.min(), compute.max(), _BUDGETS)
    nearest = np.abs(np.log(compute)[:, None] - np.log(budgets)).argmin(1)
    size = np.geomspace(data["N"].min(), data["N"].max(), 120)
    figure = style.figure(3.8)
    left, right = figure.subplots(1, 2)
    for i, (budget, (paint, marker)) in enumerate(zip(budgets, style.series(_BUDGETS), strict=True)):
        tokens = budget / (6 * size)
        seen = (tokens > data["D"].min() / 3) & (tokens < 3 * data["D"].max())
        left.plot(size[seen], law.evaluate(fit.values, {"N": size, "D": tokens})[seen], color=paint, linewidth=1.4)
        here = nearest == i
        # Runs are moved along the law to the curve's compute.
        there = {"N": data["N"][here], "D": budget / (6 * data["N"][here])}
        moved = (
            data["L"][here]
            * law.evaluate(fit.values, there)
            / law.evaluate(fit.values, {"N": data["N"][here], "D": data["D"][here]})
        )
        left.plot(data["N"][here], moved, marker, color=paint, markersize=3, markeredgewidth=0)
    line = np.geomspace(budgets[0], budgets[-1], 50)
    drawn = np.array([law.optimum(law.named(values), line)[0] for values in np.array(fit.draws)])
    tail = (1 - fit.level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    paint = style.series(1)[0][0]
    best, _ = law.optimum(law.named(fit.values), line)
    right.plot(line, best, color=paint)
    right.fill_between(line, low, high, color=paint, alpha=0.16, linewidth=0)
    left.set(xlabel="parameters", ylabel="loss (nats per token)")
    right.set(xlabel="compute (FLOPs)", ylabel="best size (parameters)")
    style.plain_axes(left, log_x=True, log_y=True)
    style.plain_axes(right, log_x=True, log_y=True)
    a = fit.estimate("a")
    value, reach = formatting.between(a.value, a.interval.low, a.interval.high)
    return Drawing(
        f"isoflop_{fit.law}",
        figure,
        "Equal compute, and the best size",
        f"The best size grows as compute to the {value} ({reach}).",
        "Left: the law at equal compute 6ND; points are runs near it, moved along the law to that compute. Right: the "
        f"size of the smallest loss with its {formatting.percent(fit.level)} interval.",
    )
