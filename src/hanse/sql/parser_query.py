"""Queries: sqlglot's Spark parser, with Hanse's table functions in FROM and nothing but queries."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from typing import Any, Final, NoReturn, TypeVar, cast

from sqlglot import exp
from sqlglot import parser as sqlglot_parser
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError as SqlglotParseError
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokenizer_core import Token, TokenType

from hanse.errors import BindError, HanseError, ParseError, UsageError, nearest
from hanse.sql.cursor import Cursor, is_word
from hanse.sql.lexer import TokenizedStatement, position_at
from hanse.sql.nodes import TableFunction, position_of
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


_BITS: Final = (TokenType.PIPE, TokenType.CARET, TokenType.AMP)

_PIPE_HOLDS: Final = ("order", "limit", "offset", "distinct", "group", "having", "qualify", "windows")
_PIPE_KEEPS: Final = {
    "WHERE": {"order"},
    "SELECT": {"order"},
    "ORDER BY": {"order"},
    "DISTINCT": {"order"},
    "LIMIT": {"order", "distinct"},
}
"""What a query may hold, when an operator is written into it and not around it."""


def _pipe(operator: str, parse: Callable[..., Any], parser: _QueryParser, query: exp.Query) -> Any:
    return parse(parser, parser.piped(query, operator))


class _QueryParser(VerbatimCalls, SparkParser):
    """sqlglot's parser over a slice of a statement's tokens."""

    PIPE_SYNTAX_TRANSFORM_PARSERS = {  # noqa: RUF012  sqlglot's way
        operator: functools.partial(_pipe, operator, parse)
        for operator, parse in SparkParser.PIPE_SYNTAX_TRANSFORM_PARSERS.items()
    }

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

    def _parse_bitwise(self) -> exp.Expr | None:
        """By Spark's precedence, where sqlglot has one for all: ``|`` binds least, then ``^``, then ``&``."""
        return self._parse_bits(0)

    def _parse_bits(self, depth: int) -> exp.Expr | None:
        if depth == len(_BITS):
            return self._parse_shift()
        this = self._parse_bits(depth + 1)
        while self._match(_BITS[depth]):
            operator = self.BITWISE[_BITS[depth]]
            this = self.expression(operator(this=this, expression=self._parse_bits(depth + 1)))
        return this

    def _parse_shift(self) -> exp.Expr | None:
        this = self._parse_term()
        while True:
            if self._match_pair(TokenType.LT, TokenType.LT):
                this = self.expression(exp.BitwiseLeftShift(this=this, expression=self._parse_term()))
            elif self._match_pair(TokenType.GT, TokenType.GT):
                this = self.expression(exp.BitwiseRightShift(this=this, expression=self._parse_term()))
            else:
                return this

    def _parse_term(self, parse_mod: bool = True) -> exp.Expr | None:
        """Sums and differences, and ``||``, which ranks with them."""
        this = super()._parse_term(parse_mod)
        while self._match(TokenType.DPIPE):
            this = self.expression(exp.DPipe(this=this, expression=self._parse_factor(parse_mod), safe=True))
            while self._match_set(self.TERM):
                operator = self.TERM[self._prev.token_type]
                this = self.expression(operator(this=this, expression=self._parse_factor(parse_mod)))
        return this

    def _parse_group(self, skip_group_by_token: bool = False) -> exp.Group | None:
        group = super()._parse_group(skip_group_by_token)
        if group and not any(group.args.values()):
            self.raise_error("Expected an expression after GROUP BY")
        return group

    # -- queries in pipe syntax -----------------------------------------------------------------

    def piped(self, query: exp.Query, operator: str) -> exp.Select:
        """The query as what an operator acts on; sqlglot writes the operator into it, whatever it holds already."""
        whole = isinstance(query, exp.Select) and len(query.expressions) == 1 and query.is_star
        held = {key for key in _PIPE_HOLDS if query.args.get(key)}
        if whole and held <= _PIPE_KEEPS.get(operator, set()):
            return cast(exp.Select, query)
        return self._build_pipe_cte(query=query, expressions=[exp.Star()])

    def _build_pipe_cte(
        self, query: exp.Query, expressions: list[exp.Expr], alias_cte: exp.TableAlias | None = None
    ) -> exp.Select:
        """As sqlglot's, but that a name given with AS can be read as a table's."""
        select = super()._build_pipe_cte(query, expressions, alias_cte)
        if alias_cte is not None:
            select.set("from_", exp.From(this=exp.to_table(alias_cte.name)))
        return select

    def _parse_pipe_syntax_select(self, query: exp.Select) -> exp.Select:
        select = self._parse_select(consume_pipe=False)
        if not isinstance(select, exp.Select):
            return query
        query = query.select(*select.expressions, append=False)
        for key in ("distinct", "windows"):
            query.set(key, select.args.get(key))
        return self._build_pipe_cte(query=query, expressions=[exp.Star()])

    def _parse_pipe_syntax_set_operator(self, query: exp.Query) -> exp.Query | None:
        return super()._parse_pipe_syntax_set_operator(self.piped(query, "UNION"))

    def _parse_pipe_syntax_join(self, query: exp.Query) -> exp.Query | None:
        return super()._parse_pipe_syntax_join(self.piped(query, "JOIN"))

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
