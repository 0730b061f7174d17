"""Variables: what a law is about, and where a table has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One input of a formula, or its response.

    column, measure  where a catalogue's table has it: a column, or the value of a measure
    made             SQL that makes the column of others, such as a task's knobs, where the table lacks it
    levels           how many different values a table must have for the law to be identified
    category         its values are names, given to the law as numbers in the order of `Law.levels`
    low, high        values beyond are in a wrong unit or impossible
    """

    name: str
    meaning: str
    unit: str
    column: str | None = None
    measure: str | None = None
    made: str | None = None
    levels: int = 1
    category: bool = False
    low: float | None = None
    high: float | None = None
