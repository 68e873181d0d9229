"""Where sqlglot's Spark parser reads another grammar than Spark's: the ranks of operators, and queries in pipes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, cast

from sqlglot import exp
from sqlglot.parsers.spark import SparkParser
from sqlglot.tokenizer_core import TokenType

__all__ = ["SparkGrammar"]

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


def _around(operator: str, parse: Callable[..., Any], parser: SparkGrammar, query: exp.Query) -> Any:
    return parse(parser, parser.piped(query, operator))


class SparkGrammar(SparkParser):
    """sqlglot's Spark parser, put right."""

    PIPE_SYNTAX_TRANSFORM_PARSERS = {  # noqa: RUF012  sqlglot's way
        operator: functools.partial(_around, operator, parse)
        for operator, parse in SparkParser.PIPE_SYNTAX_TRANSFORM_PARSERS.items()
    }

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
        """``a << b`` is ``shiftleft(a, b)``."""
        this = self._parse_term()
        while this is not None:
            if self._match_pair(TokenType.LT, TokenType.LT):
                name = "shiftleft"
            elif self._match_pair(TokenType.GT, TokenType.GT):
                name = "shiftright"
            else:
                break
            distance = self._parse_term()
            if distance is None:
                self.raise_error("Expected an expression")
            this = self.expression(exp.Anonymous(this=name, expressions=[this, distance]))
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
