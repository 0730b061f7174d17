"""What is left of each observation when the law is taken away: is there a pattern?"""

from __future__ import annotations

import numpy as np

from physlm.fitting import Fit
from physlm.report import formatting, style
from physlm.report.figures.drawing import Drawing
from physlm.report.figures.points import deviation, is_relative, is_wide, points


def draw(fit: Fit) -> Drawing:
    """Residuals of the conditions against the prediction, and against each variable that varies and is no category."""
    law, data = fit.model, points(fit)
    fitted = data["held_out"] == 0
    predicted, _, _ = fit.predict({v.name: data[v.name] for v in law.variables})
    observed, relative = data[law.response.name], is_relative(fit)
    residual = 100 * (observed / predicted - 1) if relative else observed - predicted
    shown = [(law.response.meaning, predicted)]
    shown += [(v.meaning, data[v.name]) for v in law.variables if not v.category and np.ptp(data[v.name]) > 0]
    figure = style.figure(3.0 * -(-len(shown) // 3))
    paint = style.series(1)[0][0]
    for axes, (name, x) in zip(style.panels(figure, len(shown), share_y=True), shown, strict=True):
        axes.axhline(0, color=style.MUTED, linewidth=1)
        axes.plot(x[fitted], residual[fitted], "o", color=paint, markersize=4, markeredgewidth=0)
        axes.plot(x[~fitted], residual[~fitted], "o", color=paint, markersize=5, markerfacecolor=style.SURFACE)
        axes.set_xlabel(name)
        style.plain_axes(axes, log_x=is_wide(x))
    figure.axes[0].set_ylabel("observed relative to law (%)" if relative else "observed less law")
    finding = f"The fitted conditions miss the law by {formatting.percent(deviation(fit))} on average."
    caption = "Points are means over seeds; hollow ones were held out. A trend would say that the form is wrong."
    return Drawing(f"residuals_{fit.law}", figure, "Residuals", finding, caption)
