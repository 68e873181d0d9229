"""Hanse's table functions: how each is written, and how its arguments are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from hanse.errors import BindError, ParseError, Position, nearest
from hanse.sql.cursor import Cursor, is_word, matching, split_commas
from hanse.sql.lexer import TokenizedStatement, position_at
from hanse.sql.nodes import TableFunction, position_of
from hanse.sql.options import literal, parse_value

__all__ = [
    "TABLE_FUNCTIONS",
    "TABLE_FUNCTIONS_BY_NAME",
    "GivenOption",
    "TableFunctionForm",
    "options_of",
    "parse_table_function",
]

ParseQuery = Callable[[TokenizedStatement, int, int], exp.Query]


class TableFunctionForm(msgspec.Struct, frozen=True):
    """How a table function is written.

    Args:
        name: lower case.
        arguments: in order, each an argument of :class:`TableFunction`.
        options: the names that ``name => value`` may take.
        optional: an argument that may be left out, the last one.
    """

    name: str
    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    optional: str | None = None

    @property
    def signature(self) -> str:
        """As an error shows it."""
        shown = ", ".join(a for a in self.arguments if a != self.optional)
        shown += "" if self.optional is None else f" [, {self.optional}]"
        return f"{self.name}({shown}{''.join(f' [, {o} => value]' for o in self.options)})"


_DETECTION = ("contamination", "threshold", "topk", "ordinary_share")

TABLE_FUNCTIONS: tuple[TableFunctionForm, ...] = (
    TableFunctionForm("model_predict", ("model", "version", "query")),
    TableFunctionForm("model_evaluate", ("model", "version", "query")),
    TableFunctionForm("model_centroids", ("model", "version")),
    TableFunctionForm("federated_evaluate", ("model", "version")),
    TableFunctionForm("federated_compare", ("model", "version")),
    TableFunctionForm("detect_anomalies", ("model", "version", "query"), _DETECTION),
    TableFunctionForm("explain_anomalies", ("model", "version", "query"), _DETECTION),
    TableFunctionForm("describe_clusters", ("model", "version", "query"), ("ordinary_share",), optional="query"),
    TableFunctionForm("cluster_silhouettes", ("model", "version", "query")),
    TableFunctionForm(
        "match_clusters", ("model", "version", "other_model", "other_version", "query"), ("ordinary_share",)
    ),
)
"""Every table function of Hanse's own."""

TABLE_FUNCTIONS_BY_NAME = {form.name: form for form in TABLE_FUNCTIONS}


def parse_table_function(form: TableFunctionForm, cursor: Cursor, parse_query: ParseQuery) -> TableFunction:
    """Read ``name(arguments, option => value ...)`` and move the cursor behind it.

    Raises:
        ParseError: arguments that are missing, too many or of another kind.
        BindError: an option that the function does not have.
    """
    token = cursor.tokens[cursor.index]
    inner = Cursor(cursor.statement, cursor.index + 2, matching(cursor.tokens, cursor.index + 1))
    function = TableFunction(name=form.name).update_positions(token)
    for number, argument in enumerate(form.arguments):
        if argument == form.optional and (inner.token is None or _at_option(inner, inner.index + 1)):
            continue
        if number:
            inner.expect(TokenType.COMMA, f"a comma and the {argument}, as in {form.signature}")
        function.set(argument, _parse_argument(argument, inner, parse_query))
    options = _parse_options(form, inner)
    inner.expect_end(f") after the last argument, as in {form.signature}")
    if options:
        function.set("options", options)
    cursor.index = inner.end + 1
    return function


class GivenOption(msgspec.Struct, frozen=True):
    """``name => value`` of a call, with its parameters bound."""

    name: str
    value: Any
    position: Position | None
    value_position: Position | None


def options_of(function: TableFunction) -> list[GivenOption]:
    """The options of a call, as they were written."""
    return [
        GivenOption(o.name, _value_of(o.expression), position_of(o), position_of(o.expression) or position_of(o))
        for o in function.args.get("options") or ()
    ]


def _value_of(node: exp.Expr) -> Any:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Neg):
        return -_value_of(node.this)
    if isinstance(node, exp.Boolean | exp.Null):
        return node.this if isinstance(node, exp.Boolean) else None
    if isinstance(node, exp.Literal) and not node.is_string:
        return int(node.name) if node.name.isdigit() else float(node.name)
    return node.name if isinstance(node, exp.Literal) else node.sql()


def _parse_argument(argument: str, inner: Cursor, parse_query: ParseQuery) -> exp.Expr:
    token = inner.token
    if argument == "query":
        end = _query_end(inner)
        query = parse_query(inner.statement, inner.index, end)
        inner.index = end
        return query
    if argument.endswith("model"):
        start = inner.index
        name = inner.expect_name("a model's name")
        identifier = exp.to_identifier(name.text, quoted=True)
        return identifier.update_positions(inner.tokens[start])
    version = inner.expect_version()
    if isinstance(version, exp.Parameter):
        return version
    return exp.Literal.number(version).update_positions(token)


def _query_end(inner: Cursor) -> int:
    """A bare query ends where ``, name =>`` begins, or with the argument list."""
    for start, _ in split_commas(inner.tokens, inner.index, inner.end)[1:]:
        if _at_option(inner, start):
            return start - 1
    return inner.end


def _at_option(inner: Cursor, index: int) -> bool:
    tokens = inner.tokens
    return index + 1 < inner.end and is_word(tokens[index]) and tokens[index + 1].token_type is TokenType.FARROW


def _parse_options(form: TableFunctionForm, inner: Cursor) -> list[exp.Kwarg]:
    options: dict[str, exp.Kwarg] = {}
    while inner.at(TokenType.COMMA) and _at_option(inner, inner.index + 1):
        inner.index += 1
        token = inner.tokens[inner.index]
        name = token.text.lower()
        if name not in form.options:
            cure = nearest(name, form.options) if form.options else f"write {form.signature}"
            raise BindError(f"{form.name} has no option {token.text}", cure, position_at(token))
        if name in options:
            raise ParseError(f"{token.text} given twice", "keep one", position_at(token))
        inner.index += 2
        value = inner.token
        number = literal(parse_value(inner, f"a value for {name}"))
        if value is not None:
            number.update_positions(value)
        options[name] = exp.Kwarg(this=exp.Var(this=name), expression=number).update_positions(token)
    return list(options.values())
