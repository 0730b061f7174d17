"""Laws, one file each, and the engine that fits, compares and tests them; numpy alone, no torch."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

from physlm.laws.contract import Anchor, Interval, Law, Parameter, Quantity, describe, registry  # noqa: E402
from physlm.laws.fitting import fit  # noqa: E402
from physlm.laws.observed import needed  # noqa: E402
from physlm.laws.result import Comparison, Estimate, Fit, HeldOut  # noqa: E402
from physlm.laws.simulation import form_of, simulate  # noqa: E402
from physlm.laws.tables import read_table  # noqa: E402
from physlm.laws.variables import Variable  # noqa: E402

__all__ = [
    "Anchor",
    "Comparison",
    "Estimate",
    "Fit",
    "HeldOut",
    "Interval",
    "Law",
    "Parameter",
    "Quantity",
    "Variable",
    "describe",
    "fit",
    "form_of",
    "needed",
    "read_table",
    "registry",
    "simulate",
]
