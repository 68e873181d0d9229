"""Queries: sqlglot's Spark parser, with Hanse's table functions in FROM and nothing but queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeVar, cast

from sqlglot import exp
from sqlglot import parser as sqlglot_parser
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError as SqlglotParseError
from sqlglot.tokenizer_core import Token, TokenType

from hanse.errors import BindError, HanseError, ParseError, UsageError, nearest
from hanse.sql.cursor import Cursor, is_word
from hanse.sql.lexer import TokenizedStatement, position_at
from hanse.sql.nodes import TableFunction, position_of
from hanse.sql.parser_grammar import SparkGrammar
from hanse.sql.rendering.calls import VerbatimCalls
from hanse.sql.table_functions import TABLE_FUNCTIONS_BY_NAME, parse_table_function

__all__ = ["parse_expression", "parse_query", "parse_type"]

if not str(sqlglot_parser.__file__).endswith(".py"):
    raise UsageError(
        "sqlglot is installed with its compiled extension, whose parser nobody can extend: pip uninstall sqlglotc"
    )

T = TypeVar("T")

_SPARK_TABLE_FUNCTIONS = (
    "explode",
    "explode_outer",
    "inline",
    "inline_outer",
    "json_tuple",
    "posexplode",
    "posexplode_outer",
    "range",
    "stack",
)
_QUERY_STARTS = frozenset(
    {
        TokenType.SELECT,
        TokenType.WITH,
        TokenType.L_PAREN,
        TokenType.VALUES,
        TokenType.FROM,
        TokenType.TABLE,
    }
)
_NOT_QUERIES: tuple[type[Any], ...] = (
    exp.Command,
    exp.DML,
    exp.Create,
    exp.Drop,
    exp.Describe,
    exp.Summarize,
    exp.Into,
    exp.MultitableInserts,
    exp.FunctionSpecification,
)


class _RefusedError(SqlglotParseError):
    """sqlglot's error, with its token (false at the end); sqlglot catches it to try another reading."""

    def __init__(self, message: str, token: Token) -> None:
        super().__init__(message)
        self.token = token


def parse_query(statement: TokenizedStatement, start: int, end: int) -> exp.Query:
    """Parse ``tokens[start:end]`` as one query.

    Raises:
        ParseError: it is not one; with the line and column of the token that does not fit.
        BindError: a table function that does not exist.
    """
    cursor = Cursor(statement, start, end)
    if cursor.token is None or cursor.token.token_type not in _QUERY_STARTS:
        cursor.fail("a query: SELECT, WITH or VALUES")
    tree = _run(statement, start, end, _QueryParser.parse_whole_query)
    for node in tree.walk():
        if isinstance(node, _NOT_QUERIES):
            position = position_of(node) or cursor.position
            raise ParseError(f"{node.key.upper()} inside a query", "only queries may stand here", position)
    while isinstance(tree, exp.Subquery) and tree.is_wrapper:
        tree = tree.this
    return tree.pop()


def parse_expression(statement: TokenizedStatement, start: int, end: int) -> exp.Expression:
    """Parse ``tokens[start:end]`` as one expression.

    Raises:
        ParseError: it is not one.
    """
    if start == end:
        Cursor(statement, start, end).fail("an expression")
    return _run(statement, start, end, _QueryParser.parse_whole_expression)


def parse_type(statement: TokenizedStatement, start: int, end: int) -> exp.DataType:
    """Parse ``tokens[start:end]`` as a data type.

    Raises:
        ParseError: it is not one.
    """
    if start == end:
        Cursor(statement, start, end).fail("a column's type")
    return _run(statement, start, end, _QueryParser.parse_whole_type)


def _run(statement: TokenizedStatement, start: int, end: int, method: Callable[[_QueryParser], T]) -> T:
    parser = _QueryParser(statement, start, end)
    try:
        return method(parser)
    except HanseError:
        raise
    except _RefusedError as error:
        index = next((i for i in range(start, end) if statement.tokens[i] is error.token), end)
        _translate(str(error), Cursor(statement, index, end), error)
    except RecursionError as error:
        position = parser.cursor().position
        raise ParseError("a query nested too deeply", "name its parts in a WITH", position) from error
    except Exception as error:  # sqlglot's builders raise anything on arguments they do not expect
        position = parser.cursor(-1).position
        raise ParseError("arguments that cannot be read", "check what stands before here", position) from error


def _translate(message: str, at: Cursor, error: Exception) -> NoReturn:
    """Raise sqlglot's complaint in Hanse's words."""
    message = re.sub(r" but got .*", "", message, flags=re.DOTALL)
    if match := re.match(r"Required keyword: '\w+' missing for <class '[\w.]*?(\w+)'>", message):
        at.fail(f"an expression, to complete {match[1].upper()}")
    if match := re.match(r"Expect(?:ed|ing):? (?:token )?(.+)", message):
        at.fail(match[1])
    if message.startswith("Invalid expression"):
        at.fail("an operator, a comma, the next clause or the end of the query")
    raise ParseError(message[:1].lower() + message[1:], "", at.position) from error


class _QueryParser(VerbatimCalls, SparkGrammar):
    """sqlglot's parser over a slice of a statement's tokens."""

    PLACEHOLDER_PARSERS = {TokenType.PARAMETER: lambda self: self._parse_parameter()}  # noqa: RUF012  sqlglot's way

    SUPPORTS_TABLE_QUERY = True

    def __init__(self, statement: TokenizedStatement, start: int, end: int) -> None:
        super().__init__(dialect=Spark())
        self.statement = statement
        self.offset = start
        self.slice_end = end
        self._unnamed = 0
        self._in_type = 0
        self._joins: dict[tuple[int, bool, bool, bool], tuple[int, exp.Join | None]] = {}
        self.reset()
        self.sql = statement.script
        self._chunks = [list(statement.tokens[start:end])]
        self._advance_chunk()

    def cursor(self, step: int = 0) -> Cursor:
        """Where this parser reads, in Hanse's terms."""
        index = self.offset + max(self._index + step, 0)
        return Cursor(self.statement, min(index, self.slice_end), self.slice_end)

    def parse_whole_query(self) -> exp.Query:
        """Parse everything as one query."""
        tree = self._parse_statement()
        self._finish()
        return cast(exp.Query, tree)

    def parse_whole_expression(self) -> exp.Expression:
        """Parse everything as one expression."""
        tree = self._parse_disjunction()
        self._finish()
        return cast(exp.Expression, tree)

    def parse_whole_type(self) -> exp.DataType:
        """Parse everything as one data type."""
        first = self._curr
        tree = self._parse_types(schema=True, allow_identifiers=False)
        if not isinstance(tree, exp.DataType):
            self.raise_error("Expected a column's type", first)
        self._finish()
        return cast(exp.DataType, tree)

    def _finish(self) -> None:
        if self._curr:
            self.raise_error("Invalid expression / Unexpected token")

    def raise_error(self, message: str, token: Token | None = None) -> None:
        """Raise at once, with the token; where sqlglot names the one before, what is missing follows it."""
        if token is self._prev:
            token = self._curr
        raise _RefusedError(message, token or self._curr)

    def _parse_statement(self) -> exp.Expr | None:
        first = self._curr
        if first.token_type not in _QUERY_STARTS:
            self.raise_error("Expected a query: SELECT, WITH or VALUES")
        tree = super()._parse_statement()
        if isinstance(tree, exp.Values):
            tree = self._values_to_select(tree)
        if not isinstance(tree, exp.Query):
            self.raise_error("Expected a query: SELECT, WITH or VALUES", first)
        return tree

    def _parse_derived_table_values(self, allow_value_synonym: bool = False) -> exp.Values | None:
        """VALUES, its columns named as Spark names them: col1, col2 ..."""
        values = super()._parse_derived_table_values(allow_value_synonym)
        if values is None:
            return None
        alias = values.args.get("alias") or exp.TableAlias()
        if not alias.this:
            self._unnamed += 1
            alias.set("this", exp.to_identifier(f"_values_{self._unnamed}"))
        if not alias.columns and values.expressions:
            width = len(values.expressions[0].expressions)
            alias.set("columns", [exp.to_identifier(f"col{index + 1}") for index in range(width)])
        values.set("alias", alias)
        return values

    def _parse_value(self, values: bool = True) -> exp.Tuple | None:
        """A row; where it is bare, an AS after it names the table and not the value."""
        if self._curr.token_type == TokenType.L_PAREN:
            return super()._parse_value(values)
        value = self._parse_disjunction()
        return exp.Tuple(expressions=[value]) if value else None

    def _parse_projections(self) -> tuple[list[exp.Expr], list[exp.Expr] | None]:
        projections, exclude = super()._parse_projections()
        if not projections:
            self.raise_error("Expected an expression after SELECT")
        return projections, exclude

    def _parse_csv(self, parse_method: Callable[[], T | None], sep: TokenType = TokenType.COMMA) -> list[T]:
        """A list in which nothing may be missing, unlike sqlglot's."""

        def parse_item() -> T | None:
            item = parse_method()
            if item is None and self._prev.token_type == sep and not self._in_type:
                self.raise_error("Expected another item after the comma")
            return item

        return super()._parse_csv(parse_item, sep)

    def _parse_types(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        """As sqlglot's, which also tries whether ``array(NULL, 2)`` is a type; then a list may end anywhere."""
        self._in_type += 1
        try:
            return super()._parse_types(*args, **kwargs)
        finally:
            self._in_type -= 1

    def _parse_group(self, skip_group_by_token: bool = False) -> exp.Group | None:
        group = super()._parse_group(skip_group_by_token)
        if group and not any(group.args.values()):
            self.raise_error("Expected an expression after GROUP BY")
        return group

    def _parse_join(
        self,
        skip_join_token: bool = False,
        parse_bracket: bool = False,
        alias_tokens: Collection[TokenType] | None = None,
    ) -> exp.Join | None:
        """As sqlglot's, but read once at each place: it tries ``a JOIN b JOIN c`` in 2^n ways."""
        key = (self._index, skip_join_token, parse_bracket, alias_tokens is None)
        if key in self._joins:
            end, join = self._joins[key]
            self._advance(end - self._index)
            return join
        comma = self._curr.token_type == TokenType.COMMA
        join = super()._parse_join(skip_join_token, parse_bracket, alias_tokens)
        if comma and join is None:
            self._parse_table()  # again, so that it says why
            self.raise_error("Expected a table after the comma")
        self._joins[key] = (self._index, join)
        return join

    def _parse_parameter(self) -> exp.Parameter:
        cursor = self.cursor(-1)
        parameter = cursor.accept_parameter()
        if parameter is None:
            raise _RefusedError("Expected an expression; parameters are written $name", self._prev)
        self._advance(cursor.index - self.offset - self._index)
        return parameter

    def _parse_table_part(self, schema: bool = False) -> exp.Expr | None:
        if not schema and self._next.token_type == TokenType.L_PAREN and self._is_function_name():
            name = self._curr.text.lower()
            if name in TABLE_FUNCTIONS_BY_NAME:
                return self._parse_hanse_function(name)
            if name not in _SPARK_TABLE_FUNCTIONS and self._curr.token_type != TokenType.UNNEST:
                known = [*TABLE_FUNCTIONS_BY_NAME, *_SPARK_TABLE_FUNCTIONS]
                what = f"unknown table function {self._curr.text}"
                raise BindError(what, nearest(name, known), position_at(self._curr))
        return super()._parse_table_part(schema=schema)

    def _parse_hanse_function(self, name: str) -> TableFunction:
        if self._prev.token_type == TokenType.DOT:
            self.raise_error(f"Expected a table's name after the dot: {name} stands alone", self._curr)
        cursor = self.cursor()
        function = parse_table_function(TABLE_FUNCTIONS_BY_NAME[name], cursor, parse_query)
        self._advance(cursor.index - self.offset - self._index)
        return function

    def _parse_function_call(self, *args: Any, **kwargs: Any) -> exp.Expr | None:
        token = self._curr
        if self._next.token_type == TokenType.L_PAREN and token.text.lower() in TABLE_FUNCTIONS_BY_NAME:
            what = f"{token.text.lower()} is a table function"
            raise ParseError(what, f"write SELECT ... FROM {token.text.lower()}(...)", position_at(token))
        return super()._parse_function_call(*args, **kwargs)

    def _is_function_name(self) -> bool:
        return is_word(self._curr) or self._curr.token_type == TokenType.IDENTIFIER
