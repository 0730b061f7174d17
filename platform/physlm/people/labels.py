"""Per-token labels of texts about persons, from the slots that their tokens came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physlm.people.schedule import Drawn
from physlm.people.world import FACTS
from physlm.people.writer import AGAIN, Written

OTHER, NAME, WORD, VALUE, GENDER = range(5)  # classes of the label `part`
VALUE_FACTS = FACTS[4:]
FIRST_VALUE = FACTS.index("birth_month")
ATTRIBUTE_OF = [-1, -1, -1, -1, 0, 0, 0, 1, 2, 3, 4, 5]  # of each fact


class TextLabels:
    """Makes the labels of texts.

    extra_slots  slots beside the facts, with their class of the label `part`
    marks        tokens from 0 on that are marks
    held_out     of persons: see `Schedule.held_out`
    """

    def __init__(
        self,
        extra_slots: Mapping[str, int],
        marks: int,
        held_out: Callable[[NDArray[np.int64]], NDArray[np.int32]],
    ) -> None:
        self._marks, self._held_out = marks, held_out
        self.parts = np.full(2 * AGAIN + 1, WORD, np.int32)
        """The class of each slot, then of each slot that is written again, then of words."""
        self.parts[: len(FACTS)] = [NAME] * 3 + [GENDER] + [VALUE] * 8
        self.parts[AGAIN + FIRST_VALUE : AGAIN + len(FACTS)] = VALUE
        for slot, part in enumerate(extra_slots.values(), start=len(FACTS)):
            self.parts[slot] = part
            self.parts[AGAIN + slot] = part if part == VALUE else WORD
        self._attributes = np.full(2 * AGAIN + 1, -1, np.int32)
        self._attributes[: len(FACTS)] = ATTRIBUTE_OF
        self._attributes[AGAIN : AGAIN + len(FACTS)] = ATTRIBUTE_OF

    def makers(self, written: Written, drawn: Drawn) -> dict[str, Callable[[], NDArray[np.int32]]]:
        """What makes each label, int32 [total], when it is asked for."""
        slots, lengths = written.slots, np.diff(written.offsets)

        def spread(row: NDArray[Any]) -> NDArray[np.int32]:
            return np.repeat(row.astype(np.int32), lengths)

        def part() -> NDArray[np.int32]:
            part = self.parts[slots]
            part[written.tokens < self._marks] = OTHER
            return part

        def before() -> NDArray[np.int32]:
            attribute = self._attributes[slots]
            follows = np.append(attribute[1:], np.int32(-1))
            before = np.where(follows != attribute, follows, np.int32(-1))
            month_to_year = np.append(slots[1:] % AGAIN != FIRST_VALUE, True) & (follows == 0)
            return np.where(month_to_year, np.int32(-1), before)

        makers: dict[str, Callable[[], NDArray[np.int32]]] = {
            "kind": lambda: spread(drawn.kind),
            "part": part,
            "attribute": lambda: self._attributes[slots],
            "before": before,
            "question": lambda: spread(drawn.question),
            "person": lambda: spread(drawn.persons[:, 0]),
            "held_out": lambda: spread(self._held_out(drawn.persons[:, 0])),
        }
        for fact in VALUE_FACTS:
            makers[fact] = lambda column=FACTS.index(fact): spread(drawn.facts[:, column])  # type: ignore[misc]
        return makers
