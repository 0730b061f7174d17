"""The implementations of one noun (tasks, laws, ...) by name; each is one file, and files register themselves.

    registry: Registry[type[Law]] = Registry("law", "physlm.laws")

    @registry.register
    class Capacity(Law): ...

A registry is a mapping, sorted by name. The package's files are imported when it is first asked, never before.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar

from physlm.errors import RegistrationError, UnknownName

T = TypeVar("T")
RegisteredT = TypeVar("RegisteredT")


class Registry(Mapping[str, T], Generic[T]):
    """What is known of one noun, by name.

    noun     for messages, such as "law"
    package  whose files register themselves; its subpackages are not looked at
    name_of  the name of what is registered; its attribute `name` if not given
    without  files of the package that register nothing and are slow to import
    """

    def __init__(
        self,
        noun: str,
        package: str,
        name_of: Callable[[Any], str] = lambda registered: str(registered.name),
        without: Sequence[str] = (),
    ) -> None:
        self.noun, self.package = noun, package
        self._name_of, self._without = name_of, without
        self._known: dict[str, T] = {}
        self._is_complete = False

    def register(self, registered: RegisteredT) -> RegisteredT:
        """Make it known by its name; a class decorator. Raises RegistrationError if the name is taken."""
        name = self._name_of(registered)
        known = self._known.get(name)
        if known is not None and _identity(known) != _identity(registered):
            raise RegistrationError(
                f"two files define the {self.noun} {name!r}: {_file(known)} and {_file(registered)}; "
                "give one of them another name"
            )
        self._known[name] = registered  # type: ignore[assignment]  # a decorator must give back the very type it got
        return registered

    def file_of(self, name: str) -> Path:
        """The file that defines it. Raises UnknownName."""
        return _file(self[name])

    def __getitem__(self, name: str) -> T:
        self._complete()
        try:
            return self._known[name]
        except KeyError:
            raise UnknownName(f"{self.noun} {name!r} is not known; {nearest(name, list(self))}") from None

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return iter(sorted(self._known))

    def __len__(self) -> int:
        self._complete()
        return len(self._known)

    def __repr__(self) -> str:
        return f"Registry({self.noun!r}: {', '.join(self)})"

    def _complete(self) -> None:
        if self._is_complete:
            return
        self._is_complete = True  # files that ask while they are imported see what is there so far
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                if not module.ispkg and module.name not in self._without:
                    importlib.import_module(f"{self.package}.{module.name}")
        except BaseException:
            self._is_complete = False
            raise


def nearest(word: str, names: Sequence[str]) -> str:
    """What was probably meant, as the end of a sentence: "did you mean 'lr'?", or all that would be right."""
    if not names:
        return "there are none"
    close = [name for name in names if name.lower() == word.lower()] or get_close_matches(word, names, n=1, cutoff=0.5)
    if not close:  # the last part alone, for paths
        tails = {name.rpartition(".")[2]: name for name in names}
        close = [tails[tail] for tail in get_close_matches(word.rpartition(".")[2], list(tails), n=1, cutoff=0.5)]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid are {', '.join(names)}"


def _identity(registered: object) -> tuple[str, str]:
    """Module and name: a module that is imported again, as notebooks do, replaces what it had registered."""
    return str(getattr(registered, "__module__", "")), str(getattr(registered, "__qualname__", ""))


def _file(registered: object) -> Path:
    if module := inspect.getmodule(registered):
        return Path(str(getattr(module, "__file__", None) or "<unknown>"))
    with suppress(ImportError):  # of another package, that may be broken
        if (spec := importlib.util.find_spec(str(registered.__module__))) and spec.origin:  # not imported yet
            return Path(spec.origin)
    return Path("<unknown>")
