"""The errors physlm raises on purpose.

PhyslmError
├── UserError              the request can't be honoured as written: exit code 2, one sentence
│   ├── ExperimentError    the experiment file: names the path, the value and what would be right
│   ├── LawDataError       a table that can't identify the law asked of it
│   ├── StoreConfigError   a store address or credential that can't be used
│   └── UnknownName        a task, model, measure, probe, law, ... that doesn't exist; a KeyError too
├── RegistrationError      two files of the package claim one name
├── UndeclaredObservation  a measure or probe emits what it doesn't declare
├── StoreError             the store failed or holds something unreadable
│   ├── MissingObject      no object under that key
│   └── CorruptObject      the object's content doesn't match its checksum
├── TelemetryError         Prometheus or the Pushgateway can't be reached, or refuses
└── Interrupted            stopped on request; the store holds a state to go on from
"""

from __future__ import annotations


class PhyslmError(Exception):
    """Base of every error raised on purpose; its text is one sentence for people."""


class UserError(PhyslmError):
    """The request can't be honoured as written."""


class ExperimentError(UserError):
    """The experiment file is wrong: the text says where, what, and what would be right."""


class LawDataError(UserError):
    """The observations can't identify the law; the text names what is missing."""


class StoreConfigError(UserError):
    """The store's address or credentials can't be used."""


class UnknownName(UserError, KeyError):
    """Nothing of that noun is known by the name; the text has the nearest name that is."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would show it in quotes


class RegistrationError(PhyslmError):
    """Two files of the package claim one name."""


class UndeclaredObservation(PhyslmError):
    """A measure or a probe emits what its `emits` doesn't declare; the text says what to declare."""


class StoreError(PhyslmError):
    """The store failed or holds something unreadable."""


class MissingObject(StoreError):
    """No object is stored under the key."""


class CorruptObject(StoreError):
    """The stored bytes don't match their checksum, or aren't what belongs under the key."""


class TelemetryError(PhyslmError):
    """Prometheus or the Pushgateway can't be reached, or refuses."""


class Interrupted(PhyslmError):
    """Stopped on request; everything done so far is kept and found again."""
