"""Laws, one file each: formulas with everything that a fit needs to know of them; numpy alone, no torch."""

from physlm.laws.law import Anchor, Interval, Law, Parameter, Quantity, describe, registry
from physlm.laws.variables import Variable

__all__ = ["Anchor", "Interval", "Law", "Parameter", "Quantity", "Variable", "describe", "registry"]
