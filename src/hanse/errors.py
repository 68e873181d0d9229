"""Every error that Hanse raises, in one tree.

::

    HanseError                      exit code 1
    ├── UsageError                  exit code 2   a wrong argument to a command or a Python call
    ├── SqlError                    exit code 2   carries line and column
    │   ├── ParseError              the text is not in the grammar
    │   ├── BindError               a name, type, option or parameter that does not exist or does not fit
    │   └── UnsupportedError        understood, but cannot be carried over to this engine
    ├── DataError                   the rows are not what a model needs (NULL, empty, constant ...)
    ├── ShapeError                  statistics whose names or shapes do not agree
    ├── RegistryError               models and their versions
    │   ├── ModelNotFoundError      exit code 2
    │   └── ModelExistsError        exit code 2
    ├── ArtifactError               a model file that cannot be read
    ├── WorkspaceError              a workspace that is locked, corrupt, read-only or full
    ├── EngineError                 what a database engine says, translated
    ├── FederationError             silos that refuse, fail or keep silent; a quorum that was missed
    ├── TransportError              a broker that cannot be reached, or that refuses this party
    │   └── EnvelopeError           a message that is not signed, sealed and fresh as it must be
    └── CancelledError              exit code 130  Ctrl-C
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

__all__ = [
    "ArtifactError",
    "BindError",
    "CancelledError",
    "DataError",
    "EngineError",
    "EnvelopeError",
    "FederationError",
    "HanseError",
    "ModelExistsError",
    "ModelNotFoundError",
    "ParseError",
    "Position",
    "RegistryError",
    "ShapeError",
    "SqlError",
    "TransportError",
    "UnsupportedError",
    "UsageError",
    "WorkspaceError",
    "nearest",
]


class Position(NamedTuple):
    """A place in the text of a script; both numbers start at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class HanseError(Exception):
    """The root. ``str(error)`` is one message that says what, the value, where, and the cure."""

    exit_code: ClassVar[int] = 1
    statement_at: Position | None = None

    def __str__(self) -> str:
        place = f" (statement at {self.statement_at})" if self.statement_at else ""
        return f"{super().__str__()}{place}"

    def within(self, position: Position) -> HanseError:
        """The same error, naming the statement in which it happened unless it names a place already."""
        if self.statement_at is None:
            self.statement_at = position
        return self


class UsageError(HanseError):
    """A wrong argument to a command or a Python call."""

    exit_code = 2


class SqlError(HanseError):
    """An error in a statement.

    Args:
        what: what is wrong, with the value: ``NUM_CLUSTERS = 0``.
        cure: what to do: ``need 2 or more``.
        position: where in the script.
    """

    exit_code = 2

    def __init__(self, what: str, cure: str = "", position: Position | None = None) -> None:
        self.what = what
        self.cure = cure
        self.position = position
        super().__init__(what, cure, position)

    def __str__(self) -> str:
        place = self.position or self.statement_at
        where = f" at {place}" if place else ""
        return f"{self.what}{where}" + (f": {self.cure}" if self.cure else "")

    def at(self, position: Position | None) -> SqlError:
        """The same error with ``position``, unless it has one already."""
        if self.position is None and position is not None:
            self.position = position
            self.args = (self.what, self.cure, position)
        return self


class ParseError(SqlError):
    """The text is not in the grammar."""


class BindError(SqlError):
    """A name, type, option or parameter that does not exist or does not fit."""


class UnsupportedError(SqlError):
    """Understood, but it cannot be carried over to this engine; never dropped silently."""


class DataError(HanseError):
    """The rows are not what a model needs; the message counts them and names the columns."""


class ShapeError(HanseError):
    """Statistics whose names or shapes do not agree."""


class RegistryError(HanseError):
    """The registry of models cannot do what was asked."""


class ModelNotFoundError(RegistryError):
    """No model, or no version, of that name."""

    exit_code = 2


class ModelExistsError(RegistryError):
    """A model of that name exists already."""

    exit_code = 2


class ArtifactError(HanseError):
    """A model file that cannot be read: not JSON, another schema version, missing or wrong fields."""


class WorkspaceError(HanseError):
    """A workspace that is locked, corrupt, read-only or full."""


class EngineError(HanseError):
    """What a database engine says, translated."""


class FederationError(HanseError):
    """Silos that refuse, fail or keep silent, named with their reasons; a quorum that was missed."""


class TransportError(HanseError):
    """A broker that cannot be reached, or that refuses this party; a message too large to send."""


class EnvelopeError(TransportError):
    """A message that is not signed, sealed and fresh as it must be; it changes nothing.

    Args:
        code: what is wrong, in one word, for counting: ``expired``, ``replayed`` ...
        message: for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class CancelledError(HanseError):
    """The user pressed Ctrl-C; nothing half-made remains."""

    exit_code = 130


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """A cure for an unknown name: the nearest valid ones, or all where none is near.

    >>> nearest("NUM_CLUSTER", ["NUM_CLUSTERS", "SEED"])
    'did you mean NUM_CLUSTERS?'
    >>> nearest("x", ["b", "a"])
    'valid: a, b'
    """
    names = sorted(known)
    by_lower = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=limit, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(by_lower[c] for c in close)}?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:12]) + (f" ... ({len(names)} in all)" if len(names) > 12 else "")
    return f"valid: {shown}"
