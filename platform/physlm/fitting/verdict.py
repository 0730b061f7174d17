"""What a held-out test says of a law."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from physlm.fitting import baseline
from physlm.fitting.result import Comparison, Estimate, HeldOut, Verdict

_VACUOUS = 10.0  # a prediction that is right within an order of magnitude tests nothing
_VACUOUS_SHARE = 0.6  # nor does one of more than half of all that is possible
_STRONG = 10.0  # a difference in BIC that is very strong evidence (Kass and Raftery 1995)


def judge(
    held_out: Sequence[HeldOut],
    comparisons: Sequence[Comparison],
    headline: Estimate,
    converged: bool,
    level: float,
    share: bool,
) -> tuple[Verdict, str]:
    """A law's verdict with the reason: from its held-out conditions, and from rivals that do clearly better.

    comparisons: the law's own first. share: whether the response is one.
    """
    if not converged:
        return "undecided", "the fit did not converge"
    if not held_out:
        return "undecided", "nothing was held out to test it on"
    outside = sum(not h.inside for h in held_out)
    told = f"{len(held_out) - outside} of {len(held_out)} held-out conditions lie in their prediction intervals"
    # How likely so many or more outside are, if the law and its intervals are right.
    chance = float(stats.binom.sf(outside - 1, len(held_out), 1 - level))
    if chance < 0.05:
        return "refuted", told
    if outside:
        return "undecided", f"{told}: one miss may be chance"
    if not headline.identified:
        return "undecided", f"{told}, but the data don't identify {headline.meaning}"
    if share:
        widest = max(h.interval.high - h.interval.low for h in held_out)
        if widest > _VACUOUS_SHARE:
            return "undecided", f"{told}, but an interval spans {widest:.0%} of the scale: too wide to test anything"
    else:
        widest = max(h.interval.high / h.interval.low if h.interval.low > 0 else 1.0 for h in held_out)
        if widest > _VACUOUS:
            return "undecided", f"{told}, but an interval spans a factor of {widest:.0f}: too wide to test anything"
    own, *rivals = comparisons
    flat = [r for r in rivals if r.form == baseline.NAME]
    if flat and flat[0].bic - own.bic <= _STRONG:
        return "undecided", f"{told}, but a constant fits almost as well: nothing is seen to depend on anything"
    better = [r for r in rivals if own.bic - r.bic > _STRONG and _beats(r, own)]
    if better:
        best = min(better, key=lambda r: r.bic)
        return "undecided", (
            f"{told}, but a rival form, {best.form}, fits better and errs by {best.left_out_error:.0%} on a size "
            f"left out, against {own.left_out_error:.0%}"
        )
    return "supported", told


def _beats(rival: Comparison, own: Comparison) -> bool:
    """Whether the rival predicts sizes left out better."""
    if rival.left_out_error is None or own.left_out_error is None:
        return False
    return rival.left_out_error < own.left_out_error
