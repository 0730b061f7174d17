"""Laws, one file each: formulas with everything that a fit needs to know of them; numpy alone, no torch.

"Part 3.3" and its like are papers of the series Physics of Language Models: docs/glossary.md lists them.
"""

from physlm.laws.law import Anchor, Interval, Law, Parameter, Quantity, describe, registry
from physlm.laws.variables import Variable

__all__ = ["Anchor", "Interval", "Law", "Parameter", "Quantity", "Variable", "describe", "registry"]
