"""Variables: what a law is about, and where a table has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Variable:
    """One input of a formula, or its response.

    measure      where a catalogue's table has it: in the rows of a measure. A regular expression stands for several
                 measures, so that a run has several rows of the response: `accuracy\\.(?P<question>\\w+)`
    column       the column that holds it, in the response's rows unless a measure is given (there it is `value` if not
                 named); `{question}` for what a group of the response's measure stands for
    otherwise    what a group stands for where it matches nothing
    made         SQL that makes the column of others, such as a task's knobs, where the table lacks it
    levels       how many different values a table must have for the law to be identified
    category     its values are names, given to the law as numbers in the order of `Law.levels`
    low, high    values beyond are in a wrong unit or impossible
    """

    name: str
    meaning: str
    unit: str
    column: str | None = None
    measure: str | None = None
    otherwise: float | str | None = None
    made: str | None = None
    levels: int = 1
    category: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def group(self) -> str | None:
        """The group of the response's measure that it stands for."""
        return self.column[1:-1] if self.column and self.column.startswith("{") else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        measure = self.measure or ""
        return re.compile(measure if any(sign in measure for sign in "\\([") else re.escape(measure))

    def matching(self, measures: Iterable[str]) -> dict[str, dict[str, str | None]]:
        """Those of the measures that hold it, with what the groups stand for."""
        found = ((name, self._pattern.fullmatch(name)) for name in measures)
        return {name: match.groupdict() for name, match in found if match}
