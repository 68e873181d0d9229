"""What the shell offers at the cursor: keywords, tables, models, columns, functions, options and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from hanse.errors import HanseError
from hanse.types import Value

if TYPE_CHECKING:
    from hanse.session import Session

__all__ = ["Names", "SqlCompleter", "candidates"]

KEYWORDS = (
    "ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "CREATE MODEL", "CREATE OR REPLACE MODEL",
    "CREATE OR REPLACE TABLE", "CREATE TABLE", "CREATE TEMP TABLE", "CREATE VIEW", "CROSS JOIN", "DESC",
    "DESCRIBE MODEL", "DESCRIBE TABLE", "DISTINCT", "DROP MODEL", "DROP TABLE", "DROP VIEW", "ELSE", "END", "EXISTS",
    "EXPLAIN", "EXPORT MODEL", "FROM", "GROUP BY", "HAVING", "IF EXISTS", "IF NOT EXISTS", "IMPORT MODEL", "IN",
    "INNER JOIN", "INSERT INTO", "IS NOT NULL", "IS NULL", "JOIN", "LATERAL VIEW", "LEFT JOIN", "LIKE", "LIMIT", "NOT",
    "NULL", "ON", "OPTIONS", "OR", "ORDER BY", "OVER", "PARTITION BY", "SELECT", "SET", "SHOW MODELS", "SHOW TABLES",
    "THEN", "TO", "TRANSFORM", "UNION ALL", "UPDATE MODEL", "USING", "VALUES", "WHEN", "WHERE", "WITH",
)  # fmt: skip
TABLE_FUNCTIONS = (
    "cluster_silhouettes", "describe_clusters", "detect_anomalies", "explain_anomalies", "federated_compare",
    "federated_evaluate", "match_clusters", "model_centroids", "model_evaluate", "model_predict",
)  # fmt: skip

_WORD = re.compile(r"[$`]?[^\W\d]?\w*$")
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WANTS_TABLE = re.compile(r"\b(from|join|into|table|view|describe)(\s+if\s+(not\s+)?exists)?\s+$", re.IGNORECASE)
_WANTS_MODEL = re.compile(
    r"(\bmodel(\s+if\s+exists)?\s+|\b\w+_(predict|evaluate|compare|centroids|anomalies|clusters|silhouettes)\s*\(\s*)$",
    re.IGNORECASE,
)
_IN_OPTIONS = re.compile(r"\boptions\s*\([^()]*$", re.IGNORECASE)
_IN_TRANSFORM = re.compile(r"\btransform\s*\((?:[^()]|\([^()]*\))*$", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:from|join)\s+`?([^\s`,;()]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Names:
    """What a workspace holds: its tables with their columns, and its models."""

    tables: Mapping[str, tuple[str, ...]]
    models: tuple[str, ...]

    @classmethod
    def of(cls, session: Session) -> Names:
        """Ask a session; what cannot be read is left out."""
        tables: dict[str, tuple[str, ...]] = {}
        models: list[str] = []
        with suppress(HanseError):
            for table in session.engine.relations():
                tables[table] = ()
                with suppress(HanseError):
                    tables[table] = tuple(session.engine.relation_columns([table]) or ())
        with suppress(HanseError):
            models = [info.name for info in session.registry.list()]
        return cls(tables, tuple(dict.fromkeys(models)))


class SqlCompleter(Completer):
    """Completes at the cursor; the workspace is asked once between two statements.

    Args:
        session: whose tables and models are offered.
        parameters: whose names are offered after ``$``.
    """

    def __init__(self, session: Session, parameters: Mapping[str, Value]) -> None:
        self._session = session
        self._parameters = parameters
        self._names: Names | None = None

    def refresh(self) -> None:
        """A statement ran: ask again when it is needed."""
        self._names = None

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What may stand at the cursor, best first."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        word = match[0] if match else ""
        if self._names is None:
            self._names = Names.of(self._session)
        found = candidates(before[: len(before) - len(word)], document.text, self._names, self._parameters)
        sought = word.lstrip("`").lower()
        for text, kind in found:
            if text.lower().startswith(sought) and (text.startswith("$") or not word.startswith("$")):
                yield Completion(_written(text, kind, word), start_position=-len(word), display=text, display_meta=kind)


def candidates(before: str, whole: str, names: Names, parameters: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every name that fits the place, with its kind; best first, none twice.

    Args:
        before: the text before the word at the cursor.
        whole: all that was typed; the tables that it names lend their columns.
        names: of the workspace.
        parameters: by name.
    """
    seen: set[str] = set()
    for text, kind in _fitting(before, whole, names, parameters):
        if text not in seen:
            seen.add(text)
            yield text, kind


def _fitting(before: str, whole: str, names: Names, parameters: Iterable[str]) -> Iterator[tuple[str, str]]:
    if _WANTS_MODEL.search(before):
        yield from ((model, "model") for model in names.models)
        return
    if _WANTS_TABLE.search(before):
        yield from ((table, "table") for table in names.tables)
        yield from ((function, "function") for function in TABLE_FUNCTIONS)
        return
    if _IN_OPTIONS.search(before):
        yield from ((option, "option") for option in _options())
        return
    if _IN_TRANSFORM.search(before):
        from hanse.transforms.chain import TRANSFORMS

        yield from ((transform.function, "transform") for transform in TRANSFORMS)
    yield from ((f"${name}", "parameter") for name in parameters)
    named = {name.lower() for name in _NAMED.findall(whole)}
    chosen = [table for table in names.tables if table.lower() in named] or list(names.tables)
    yield from ((column, "column") for table in chosen for column in names.tables[table])
    yield from ((keyword, "keyword") for keyword in KEYWORDS)
    yield from ((table, "table") for table in names.tables)
    yield from ((function, "function") for function in (*TABLE_FUNCTIONS, *_functions()))


def _options() -> list[str]:
    from hanse.models.catalog import ESTIMATORS
    from hanse.options import describe

    return ["MODEL_TYPE", *sorted({key.upper() for kind in ESTIMATORS for key in describe(kind)})]


def _functions() -> list[str]:
    from hanse.sql.rendering.functions import FUNCTIONS

    return sorted(name.lower() for name in FUNCTIONS)


def _written(text: str, kind: str, word: str) -> str:
    """A name as it has to stand in SQL; keywords follow the case that the user types in."""
    if kind == "keyword":
        return text.lower() if word and word.islower() else text
    if kind in ("column", "model", "table") and (word.startswith("`") or not _PLAIN.fullmatch(text)):
        return "`" + text.replace("`", "``") + "`"
    return text
