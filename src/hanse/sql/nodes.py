"""What a script parses to: a frozen record for each statement, and Hanse's own sqlglot expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec
from sqlglot import exp

from hanse.errors import Position

__all__ = [
    "ColumnDefinition",
    "CreateFederatedModel",
    "CreateModel",
    "CreateSilo",
    "CreateTable",
    "CreateView",
    "DescribeModel",
    "DescribeTable",
    "DropModel",
    "DropSilo",
    "DropTable",
    "DropView",
    "Explain",
    "ExplainEgress",
    "ExportModel",
    "ImportModel",
    "Insert",
    "Name",
    "Option",
    "OptionValue",
    "Query",
    "ResumeModel",
    "SetOption",
    "ShowEgress",
    "ShowModels",
    "ShowSilos",
    "ShowTables",
    "Statement",
    "TableFunction",
    "Training",
    "TransformStep",
    "UpdateModel",
    "Version",
    "position_of",
    "table_functions",
]

OptionValue = None | bool | int | float | str | exp.Parameter | tuple["OptionValue", ...]
"""The value of an option; a tuple where the script writes a list."""

Version = int | exp.Parameter
"""A model's version: 1 or more, or a ``$parameter`` that the session binds."""

CreateMode = Literal["create", "if_not_exists", "or_replace"]


class Name(msgspec.Struct, frozen=True):
    """An identifier without its quotes; ``league.g`` has two parts.

    >>> Name("league.g", Position(1, 1), ("league", "g")).parts
    ('league', 'g')
    """

    text: str
    position: Position
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class Option(msgspec.Struct, frozen=True):
    """``key = value``; ``key`` is canonical (aliases resolved), ``raw_key`` as written, both upper case."""

    key: str
    value: OptionValue
    position: Position
    value_position: Position
    raw_key: str = ""


class TransformStep(msgspec.Struct, frozen=True):
    """``function(arguments) AS alias``, one step of a TRANSFORM clause."""

    function: str
    arguments: tuple[exp.Expression, ...]
    alias: str
    position: Position
    alias_position: Position


class ColumnDefinition(msgspec.Struct, frozen=True):
    """A column of a table that is created without a query."""

    name: Name
    type: exp.DataType
    nullable: bool = True


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement: where it begins and its exact source, without the ``;``."""

    position: Position
    text: str
    kind: ClassVar[str] = "statement"


class Query(Statement, frozen=True, kw_only=True):
    """SELECT, WITH, UNION, VALUES, TABLE."""

    kind: ClassVar[str] = "select"
    tree: exp.Query


class Training(Statement, frozen=True, kw_only=True):
    """What every statement that trains a model says."""

    name: Name
    transform: tuple[TransformStep, ...]
    options: tuple[Option, ...]
    query: exp.Query
    query_text: str


class CreateModel(Training, frozen=True, kw_only=True):
    """CREATE [OR REPLACE] MODEL [IF NOT EXISTS]."""

    kind: ClassVar[str] = "create_model"
    mode: CreateMode


class UpdateModel(Training, frozen=True, kw_only=True):
    """UPDATE MODEL: a new version of a model that exists."""

    kind: ClassVar[str] = "update_model"


class DropModel(Statement, frozen=True, kw_only=True):
    """DROP MODEL: one version, or all."""

    kind: ClassVar[str] = "drop_model"
    name: Name
    version: Version | None
    if_exists: bool


class ShowModels(Statement, frozen=True, kw_only=True):
    """SHOW MODELS."""

    kind: ClassVar[str] = "show_models"


class DescribeModel(Statement, frozen=True, kw_only=True):
    """DESCRIBE MODEL: one version, or the latest."""

    kind: ClassVar[str] = "describe_model"
    name: Name
    version: Version | None


class ExportModel(Statement, frozen=True, kw_only=True):
    """EXPORT MODEL ... TO 'file.json'."""

    kind: ClassVar[str] = "export_model"
    name: Name
    version: Version | None
    path: str | exp.Parameter


class ImportModel(Statement, frozen=True, kw_only=True):
    """IMPORT MODEL ... FROM 'file.json', or from a folder that Spark MLlib saved."""

    kind: ClassVar[str] = "import_model"
    name: Name
    path: str | exp.Parameter
    options: tuple[Option, ...] = ()


class CreateTable(Statement, frozen=True, kw_only=True):
    """CREATE TABLE: from a query, or (``query`` is None) from ``columns``."""

    kind: ClassVar[str] = "create_table"
    name: Name
    temporary: bool
    if_not_exists: bool
    or_replace: bool
    using: Name | None
    properties: tuple[Option, ...]
    transform: tuple[TransformStep, ...]
    columns: tuple[ColumnDefinition, ...]
    query: exp.Query | None
    query_text: str


class CreateView(Statement, frozen=True, kw_only=True):
    """CREATE VIEW."""

    kind: ClassVar[str] = "create_view"
    name: Name
    or_replace: bool
    if_not_exists: bool
    temporary: bool
    columns: tuple[Name, ...]
    query: exp.Query
    query_text: str


class Insert(Statement, frozen=True, kw_only=True):
    """INSERT INTO."""

    kind: ClassVar[str] = "insert"
    name: Name
    columns: tuple[Name, ...]
    query: exp.Query
    query_text: str


class DropTable(Statement, frozen=True, kw_only=True):
    """DROP TABLE."""

    kind: ClassVar[str] = "drop_table"
    name: Name
    if_exists: bool


class DropView(Statement, frozen=True, kw_only=True):
    """DROP VIEW."""

    kind: ClassVar[str] = "drop_view"
    name: Name
    if_exists: bool


class ShowTables(Statement, frozen=True, kw_only=True):
    """SHOW TABLES."""

    kind: ClassVar[str] = "show_tables"


class DescribeTable(Statement, frozen=True, kw_only=True):
    """DESCRIBE [TABLE]."""

    kind: ClassVar[str] = "describe_table"
    name: Name


class SetOption(Statement, frozen=True, kw_only=True):
    """SET key = value; the key is lower case."""

    kind: ClassVar[str] = "set"
    key: str
    value: OptionValue
    key_position: Position
    value_position: Position


class Explain(Statement, frozen=True, kw_only=True):
    """EXPLAIN a query."""

    kind: ClassVar[str] = "explain"
    statement: Query


class CreateSilo(Statement, frozen=True, kw_only=True):
    """CREATE SILO."""

    kind: ClassVar[str] = "create_silo"
    name: Name
    options: tuple[Option, ...]


class ShowSilos(Statement, frozen=True, kw_only=True):
    """SHOW SILOS."""

    kind: ClassVar[str] = "show_silos"


class DropSilo(Statement, frozen=True, kw_only=True):
    """DROP SILO."""

    kind: ClassVar[str] = "drop_silo"
    name: Name
    if_exists: bool


class CreateFederatedModel(Training, frozen=True, kw_only=True):
    """CREATE FEDERATED MODEL ... OVER SILOS (...)."""

    kind: ClassVar[str] = "create_federated_model"
    mode: CreateMode
    silos: tuple[Name, ...]


class ExplainEgress(Statement, frozen=True, kw_only=True):
    """EXPLAIN EGRESS: what would leave each silo."""

    kind: ClassVar[str] = "explain_egress"
    statement: CreateFederatedModel


class ShowEgress(Statement, frozen=True, kw_only=True):
    """SHOW EGRESS: what did leave, of one model or of all."""

    kind: ClassVar[str] = "show_egress"
    model: Name | None


class ResumeModel(Statement, frozen=True, kw_only=True):
    """RESUME MODEL: go on with a federated training that was cut off."""

    kind: ClassVar[str] = "resume_model"
    name: Name


class TableFunction(exp.Expression):
    """``model_predict(name, version, query)`` in FROM.

    It is the ``this`` of an :class:`exp.Table`, which holds the alias, joins and pivots; so
    ``function.replace(exp.to_identifier("generated"))`` makes an ordinary table of it.

    In ``args``: ``name`` the function, lower case; ``model`` an :class:`exp.Identifier` whose ``name`` is the
    (dotted) model; ``version`` a number or a parameter; ``query`` or None; ``other_model`` and
    ``other_version`` where a function compares two; ``options`` a list of :class:`exp.Kwarg`.
    """

    arg_types: ClassVar[dict[str, bool]] = {
        "name": True,
        "model": True,
        "version": False,
        "other_model": False,
        "other_version": False,
        "query": False,
        "options": False,
    }

    @property
    def name(self) -> str:
        """The function, lower case."""
        return str(self.args["name"])


def table_functions(tree: exp.Expr) -> Iterator[TableFunction]:
    """The outermost table functions of a query; those nested in their queries come with these.

    They are found before the first is yielded, so each may be replaced while iterating.
    """
    found = list(tree.walk(prune=lambda node: isinstance(node, TableFunction)))
    yield from (node for node in found if isinstance(node, TableFunction))


def position_of(node: Any) -> Position | None:
    """Where a node stands: its own token, else its first descendant's, else its nearest ancestor's.

    sqlglot keeps the token's *last* column in ``col``; this gives the first. Line and column start at 1.
    """
    while isinstance(node, exp.Expr):
        placed = _place(node)
        if placed is None:
            below = [meta for child in node.walk() if (meta := _place(child)) is not None]
            placed = min(below, key=lambda meta: meta["start"], default=None)
        if placed is not None:
            return Position(placed["line"], placed["col"] - (placed["end"] - placed["start"]))
        node = node.parent
    return None


def _place(node: exp.Expr) -> dict[str, Any] | None:
    meta = node.meta
    return meta if meta.get("line") and None not in (meta.get("start"), meta.get("end")) else None
