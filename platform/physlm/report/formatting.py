"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, log10

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS = str.maketrans("0123456789aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "kappa": "κ",
    "lambda": "λ",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
}
MISSING = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits: 1.85, 21,900, 3.4 × 10¹⁵."""
    if value is None or value != value:
        return MISSING
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = floor(log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 < exponent < 6:
        return _signed(f"{float(f'{value:.{digits - 1}e}'):,.{max(0, digits - 1 - exponent)}f}")
    return _scientific(value, exponent, digits)


def tick(value: float) -> str:
    """A number on an axis: no digit more than it has."""
    if value == 0:
        return "0"
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if size <= abs(value) < 1e15:
            return _signed(f"{value / size:.10g} {suffix}")
    if 1e-4 <= abs(value) < 1e6:
        return _signed(f"{value:,.10g}")
    exponent = floor(log10(abs(value)))
    return _scientific(value, exponent, 3)


def level(value: object) -> str:
    """A value of a knob."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(map(level, value)) if isinstance(value, list | tuple) else str(value)
    return tick(value) if isinstance(value, float) else f"{value:,}"


def with_error(value: float | None, stderr: float | None) -> str:
    """A value with its standard error to the error's second digit, at most four digits of the value: 1.853 ± 0.012."""
    if value is None or stderr is None or not stderr > 0 or not isfinite(value + stderr):
        return number(value)
    leading = floor(log10(max(abs(value), stderr)))
    places = min(_places(stderr), 3 - leading)
    if not -6 < leading < 6:
        return f"{number(value)} ± {number(stderr, 2)}"
    if round(stderr, places) == 0:
        return f"{_fixed(value, places)} ± <{_fixed(10.0**-places, places)}"
    return f"{_fixed(value, places)} ± {_fixed(stderr, places)}"


def between(estimate: float, low: float, high: float) -> tuple[str, str]:
    """An estimate and its interval, to the second digit of the interval's width or the estimate's third.

    For example ("1.85", "1.79 to 1.92").
    """
    width = max(high - low, 0.0)
    if not isfinite(low + high + estimate) or width == 0:
        return number(estimate), f"{number(low)} to {number(high)}"
    places = _places(width)
    if estimate:
        places = max(places, 2 - floor(log10(abs(estimate))))
    if places > 6 or max(abs(low), abs(high)) >= 1e9:
        return number(estimate), f"{number(low)} to {number(high)}"
    return _fixed(estimate, places), f"{_fixed(low, places)} to {_fixed(high, places)}"


def amount(value: float) -> str:
    """A large number in words that people say: 106 million."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if size <= float(f"{value:.2e}") < 1e15:
            return f"{number(value / size)} {word}"
    return number(value)


def exact(value: float) -> str:
    """A number that stands for itself, such as a size: whole if it is whole, else four digits at most."""
    return _signed(f"{value:,.0f}") if value == round(value) and abs(value) < 1e7 else tick(float(f"{value:.4g}"))


def capitalized(text: str) -> str:
    """The text with its first letter large, and no other changed."""
    return text[:1].upper() + text[1:]


def symbol(name: str) -> str:
    """A parameter's name as it is written: γ for gamma, E₀ for E_0."""
    base, _, index = name.partition("_")
    base = _GREEK.get(base, base)
    if not index:
        return base
    return base + index.translate(_SUBSCRIPTS) if all(ord(c) in _SUBSCRIPTS for c in index) else f"{base}_{index}"


def percent(share: float | None) -> str:
    """A share as a percentage with two significant digits."""
    if share is None or share != share:
        return MISSING
    return f"{number(100 * share, 2)} %"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for limit, unit, size in ((120, "s", 1.0), (7200, "min", 60.0), (172_800, "h", 3600.0)):
        if seconds < limit:
            return f"{number(seconds / size, 2)} {unit}"
    return f"{seconds / 86_400:,.0f} days"


def count(amount: int, noun: str) -> str:
    """1 run, 24 runs."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def several(items: Sequence[str], most: int = 6) -> str:
    """a, b and c; beyond `most` the rest is counted."""
    if len(items) > most:
        return f"{', '.join(items[: most - 1])} and {len(items) - most + 1:,} more"
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _places(error: float) -> int:
    """Decimal places that show two digits of an error."""
    return 1 - floor(log10(float(f"{error:.1e}")))


def _fixed(value: float, places: int) -> str:
    return _signed(f"{round(value, places) + 0.0:,.{max(0, places)}f}")


def _signed(text: str) -> str:
    return text.replace("-", "−")


def _scientific(value: float, exponent: int, digits: int) -> str:
    mantissa = f"{value / 10.0**exponent:.{digits - 1}f}".rstrip("0").rstrip(".")
    power = f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{_signed(mantissa)} × {power}"
