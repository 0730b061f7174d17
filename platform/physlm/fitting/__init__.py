"""The engine that fits laws to observations, compares, tests and uses them; numpy alone, no torch."""

from physlm.fitting.data import needed
from physlm.fitting.engine import fit
from physlm.fitting.result import Comparison, Estimate, Fit, HeldOut
from physlm.fitting.simulation import form_of, simulate
from physlm.fitting.tables import read_table

__all__ = ["Comparison", "Estimate", "Fit", "HeldOut", "fit", "form_of", "needed", "read_table", "simulate"]
