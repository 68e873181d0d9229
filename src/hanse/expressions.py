"""The small SQL vocabulary that models speak: dialect-free expressions, built on sqlglot.

Numbers are written as doubles (``1.5e0``), since both engines read a bare ``1.5`` as DECIMAL; they survive the round
trip to the last bit. What makes an expression knows no dialect; :func:`written` writes it out in an engine's own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.generator import Generator

from hanse.errors import UsageError

if not inspect.isfunction(Generator.generate):
    raise UsageError("sqlglot is compiled here, and cannot be extended so: pip uninstall sqlglotc")

__all__ = [
    "Expression",
    "above",
    "absolute",
    "add",
    "again",
    "array",
    "as_double",
    "as_text",
    "as_whole",
    "at_least",
    "bad_count",
    "both",
    "call",
    "case",
    "clamp",
    "coalesce",
    "column",
    "column_name",
    "derived",
    "divide",
    "divisions_by",
    "dot",
    "equal",
    "everything",
    "exponential",
    "field_of",
    "floor",
    "greatest",
    "group_of",
    "guarded",
    "integer",
    "is_column",
    "is_number",
    "joined",
    "known",
    "layered",
    "least",
    "log",
    "log1p_abs",
    "multiply",
    "negative",
    "null",
    "number",
    "only",
    "quote",
    "rank_of",
    "raw",
    "root",
    "rounded",
    "row_count",
    "running_sum",
    "select",
    "select_over",
    "square",
    "squared",
    "star",
    "string",
    "struct_fields",
    "subtract",
    "total",
    "when",
    "where",
    "writer",
    "written",
]

Expression = exp.Expr


def column(name: str) -> Expression:
    """The column called exactly ``name``."""
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def column_name(a: Expression) -> str | None:
    """What the column is called, if ``a`` is what :func:`column` makes."""
    if type(a) is not exp.Column or len(a.args) > 1 or not a.args["this"].args.get("quoted"):
        return None
    return str(a.args["this"].args["this"])


def number(value: float) -> Expression:
    """A finite double, written so that every engine reads back the same bits.

    Raises:
        ValueError: ``value`` is NaN or infinite.
    """
    text = _double(value)
    literal = exp.Literal(this=text.lstrip("-"), is_string=False)
    return exp.Neg(this=literal) if text[0] == "-" else literal


def _double(value: float) -> str:
    text = repr(float(value))
    if "n" in text:  # nan and inf
        raise ValueError(f"{text} cannot stand in SQL")
    return text if "e" in text else f"{text}e0"


def integer(value: int) -> Expression:
    """A whole number, as a 32-bit integer."""
    literal = exp.Literal.number(str(abs(value)))
    return exp.Neg(this=literal) if value < 0 else literal


class _Dot(exp.Expression):
    """A sum of products as one node, for models write little else; a plain column in it is its name alone."""

    arg_types = {"weights": True, "expressions": True}  # noqa: RUF012  # as sqlglot has it
    _hash_raw_args = True  # names differ by case


class _Layer(exp.Expression):
    """A relation with more columns, as one node, too."""

    arg_types = {"this": True, "names": True, "expressions": True}  # noqa: RUF012  # as sqlglot has it
    _hash_raw_args = True


def _paren(e: Expression) -> Expression:
    return exp.Paren(this=e) if isinstance(e, exp.Binary | exp.Neg | _Dot) else e


def add(a: Expression, b: Expression) -> Expression:
    """``a + b``."""
    return exp.Add(this=_paren(a) if isinstance(a, exp.Predicate) else a, expression=_paren(b))


def subtract(a: Expression, b: Expression) -> Expression:
    """``a - b``."""
    return exp.Sub(this=a, expression=_paren(b))


def multiply(a: Expression, b: Expression) -> Expression:
    """``a * b``."""
    return exp.Mul(this=_paren(a), expression=_paren(b))


def divide(a: Expression, b: Expression) -> Expression:
    """``a / b`` of doubles; the caller sees to it that ``b`` is not zero."""
    return exp.Div(this=_paren(a), expression=_paren(b), typed=False, safe=False)


def again(a: Expression) -> Expression:
    """A copy, for a node can stand in one place only; a plain column, which is copied most, is made anew."""
    name = column_name(a)
    return a.copy() if name is None else column(name)


def negative(a: Expression) -> Expression:
    """``-a``."""
    return exp.Neg(this=_paren(a))


def total(terms: Iterable[Expression]) -> Expression:
    """The sum of ``terms``, left to right; zero where there are none."""
    result: Expression | None = None
    for term in terms:
        result = term if result is None else add(result, term)
    return number(0.0) if result is None else result


def dot(weights: Sequence[float], values: Sequence[Expression]) -> Expression:
    """``sum(weights[i] * values[i])``; terms of weight zero are left out."""
    terms = [(_double(w), column_name(v) or _paren(v.copy())) for w, v in zip(weights, values, strict=True) if w != 0]
    return _Dot(weights=[w for w, _ in terms], expressions=[v for _, v in terms]) if terms else number(0.0)


def square(a: Expression) -> Expression:
    """``a * a``; give it a column, for it is written twice."""
    return multiply(a, again(a))


def squared(a: Expression) -> Expression:
    """``a`` to the power of 2, written once; for what is no column."""
    return exp.Pow(this=_paren(a), expression=number(2.0))


def root(a: Expression) -> Expression:
    """The square root."""
    return exp.Sqrt(this=a)


def absolute(a: Expression) -> Expression:
    """The absolute value."""
    return exp.Abs(this=a)


def log(a: Expression) -> Expression:
    """The natural logarithm; the caller sees to it that ``a`` is positive."""
    return exp.Ln(this=a)


def log1p_abs(a: Expression) -> Expression:
    """``ln(1 + |a|)``."""
    return exp.Ln(this=add(number(1.0), absolute(a)))


def exponential(a: Expression) -> Expression:
    """``e`` to the power of ``a``; the caller sees to it that it does not overflow."""
    return exp.Exp(this=a)


def floor(a: Expression) -> Expression:
    """The largest whole number not above ``a``, as a double."""
    return exp.Floor(this=a)


def least(items: Sequence[Expression]) -> Expression:
    """The least of ``items``."""
    return items[0] if len(items) == 1 else exp.Least(this=items[0], expressions=list(items[1:]), ignore_nulls=True)


def greatest(items: Sequence[Expression]) -> Expression:
    """The greatest of ``items``."""
    return items[0] if len(items) == 1 else exp.Greatest(this=items[0], expressions=list(items[1:]), ignore_nulls=True)


def clamp(a: Expression, low: float, high: float) -> Expression:
    """``a`` held between ``low`` and ``high``."""
    return least([greatest([a, number(low)]), number(high)])


def at_least(a: Expression, bound: Expression) -> Expression:
    """``a >= bound``."""
    return exp.GTE(this=a, expression=bound)


def above(a: Expression, bound: Expression) -> Expression:
    """``a > bound``."""
    return exp.GT(this=a, expression=bound)


def equal(a: Expression, b: Expression) -> Expression:
    """``a = b``."""
    return exp.EQ(this=a, expression=b)


def when(condition: Expression, value: Expression) -> tuple[Expression, Expression]:
    """One branch of :func:`case`."""
    return condition, value


def case(branches: Iterable[tuple[Expression, Expression]], otherwise: Expression | None) -> Expression:
    """``CASE WHEN ... THEN ... ELSE otherwise END``."""
    ifs = [exp.If(this=condition, true=value) for condition, value in branches]
    return exp.Case(ifs=ifs, default=otherwise) if ifs else (otherwise or exp.Null())


def array(items: Iterable[Expression]) -> Expression:
    """An array of ``items``."""
    return exp.Array(expressions=list(items))


def string(value: str) -> Expression:
    """A text; quotes within are escaped by whoever writes the expression out."""
    return exp.Literal.string(value)


def null(kind: str) -> Expression:
    """NULL of a type: ``DOUBLE`` or ``VARCHAR``."""
    return exp.Cast(this=exp.Null(), to=exp.DataType.build(kind))


def as_double(a: Expression) -> Expression:
    """``CAST(a AS DOUBLE)``."""
    return exp.Cast(this=a, to=exp.DataType(this=exp.DataType.Type.DOUBLE))


def as_text(a: Expression) -> Expression:
    """``CAST(a AS VARCHAR)``."""
    return exp.Cast(this=a, to=exp.DataType(this=exp.DataType.Type.TEXT))


def as_whole(a: Expression) -> Expression:
    """``CAST(a AS BIGINT)``; the caller sees to it that it fits."""
    return exp.Cast(this=a, to=exp.DataType(this=exp.DataType.Type.BIGINT))


def rounded(a: Expression, digits: int) -> Expression:
    """``a`` to so many digits after the point."""
    return exp.Round(this=a, decimals=integer(digits))


def joined(items: Sequence[Expression]) -> Expression:
    """Texts, one after the other; NULL where one is."""
    result = items[0]
    for item in items[1:]:
        result = exp.DPipe(this=result, expression=item, safe=False)
    return result


def coalesce(a: Expression, otherwise: Expression) -> Expression:
    """``a``, or ``otherwise`` where it is NULL."""
    return exp.Coalesce(this=a, expressions=[otherwise])


def is_number(a: Expression) -> Expression:
    """Whether ``a`` is finite: false for infinities and NaN, NULL for NULL; give it a short expression."""
    return equal(subtract(again(a), again(a)), number(0.0))


def known(a: Expression, value: Expression) -> Expression:
    """``value`` where ``a`` is a finite number, else NULL, which sums leave out."""
    return case([when(is_number(a), value)], None)


def both(a: Expression, b: Expression) -> Expression:
    """``a AND b``."""
    return exp.And(this=a, expression=b)


def bad_count(a: Expression) -> Expression:
    """1 where ``a`` is NULL or not finite, else 0; its sum counts such rows."""
    return case([when(is_number(a), number(0.0))], number(1.0))


def guarded(features: Sequence[Expression], value: Expression, failure: Expression) -> Expression:
    """``value``, or ``failure`` where a feature is NULL or not finite; costs one comparison a row."""
    nothing = total(subtract(again(f), again(f)) for f in features)
    return case([when(equal(nothing, number(0.0)), value)], failure)


def star() -> Expression:
    """``*``: all columns."""
    return exp.Star()


def is_column(a: Expression) -> bool:
    """Whether ``a`` is a plain column."""
    return isinstance(a, exp.Column)


def quote(name: str) -> str:
    """A name as text, quoted in standard SQL."""
    return '"' + name.replace('"', '""') + '"'


def call(function: str, *arguments: Expression) -> Expression:
    """A function of the engine's own, by name."""
    return exp.Anonymous(this=function, expressions=list(arguments))


def written(expression: Expression, dialect: str, *, copy: bool = True) -> str:
    """An expression as a dialect writes it.

    Args:
        expression: what to write.
        dialect: such as ``duckdb``.
        copy: whether the expression is still needed afterwards; writing may change it.
    """
    return writer(dialect, comments=False).generate(expression, copy=copy)


def writer(dialect: str, **options: Any) -> Generator:
    """What writes a tree that may hold expressions of this module.

    Args:
        dialect: such as ``duckdb``.
        options: sqlglot's.
    """
    known, made = _made(dialect)
    return made(dialect=known, **options)


@functools.cache
def _made(name: str) -> tuple[Dialect, type[Generator]]:
    """A dialect, made once, and its generator, made quick for what models write most of."""
    dialect = Dialect.get_or_raise(name)
    plain = dialect.generator_class
    return dialect, type(f"Quick{plain.__name__}", (plain,), {"TRANSFORMS": {**plain.TRANSFORMS, **_QUICK}})


def _column_text(writer: Generator, node: exp.Column) -> str:
    name = node.args["this"]
    if len(node.args) > 1 or not name.args.get("quoted"):
        return writer.column_sql(node)
    return _quoted(writer, name.args["this"])


def _quoted(writer: Generator, name: str) -> str:
    begin, end = writer.dialect.IDENTIFIER_START, writer.dialect.IDENTIFIER_END
    return f"{begin}{name.replace(end, end * 2)}{end}"


def _dot_text(writer: Generator, node: _Dot) -> str:
    first, *rest = (
        f"{_quoted(writer, value) if isinstance(value, str) else writer.sql(value)} * "
        f"{weight if weight[0] != '-' else f'({weight})'}"
        for weight, value in zip(node.args["weights"], node.args["expressions"], strict=True)
    )
    return " + ".join([first, *(f"({product})" for product in rest)])


def _layer_text(writer: Generator, node: _Layer) -> str:
    added = (
        f"{writer.sql(value)} AS {_quoted(writer, name)}"
        for name, value in zip(node.args["names"], node.args["expressions"], strict=True)
    )
    return f"(SELECT {', '.join(['*', *added])} FROM {writer.sql(node.args['this'])}) AS rows_"


_QUICK: Mapping[type[Expression], Callable[[Generator, Any], str]] = {
    exp.Alias: lambda writer, node: f"{writer.sql(node.args['this'])} AS {writer.sql(node.args['alias'])}",
    exp.Column: _column_text,
    exp.Literal: lambda writer, node: writer.literal_sql(node) if node.is_string else node.args["this"],
    _Dot: _dot_text,
    _Layer: _layer_text,
    exp.Paren: lambda writer, node: f"({writer.sql(node.args['this'])})",
}


def raw(sql: str) -> Expression:
    """A text that an engine's dialect wrote, to stand in another one as it is: reading it could only lose something."""
    return exp.Var(this=sql)


def divisions_by(function: str, tree: Expression) -> Expression:
    """``tree`` with each quotient as a call of ``function``, where the divisor is no literal."""

    def rewritten(node: Expression) -> Expression:
        if isinstance(node, exp.Div) and not isinstance(node.expression, exp.Literal):
            return call(function, node.this, node.expression)
        return node

    return tree.transform(rewritten, copy=False)


def group_of(kind: str, value: Expression) -> Expression:
    """An aggregate: ``sum``, ``min``, ``max`` or ``count`` of ``value``."""
    return {"sum": exp.Sum, "min": exp.Min, "max": exp.Max, "count": exp.Count}[kind](this=value)


def running_sum(value: Expression, by: Expression) -> Expression:
    """The sum of ``value`` over this row and all rows before it, in the order of ``by``, which is different in each."""
    return exp.Window(
        this=exp.Sum(this=value),
        order=exp.Order(expressions=[exp.Ordered(this=by)]),
        spec=exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"),
    )


def derived(query: Expression) -> Expression:
    """A query as something that can stand in FROM."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.Identifier(this="rows_", quoted=False)))


def where(relation: str | Expression, columns: Sequence[Expression], condition: Expression) -> Expression:
    """``SELECT columns FROM relation WHERE condition``."""
    return _from(columns, relation).where(condition, copy=False)


def rank_of(value: Expression, ties: Sequence[Expression]) -> Expression:
    """A row's number from 1 by falling ``value``; rows of equal value are numbered by ``ties``."""
    order = [exp.Ordered(this=value, desc=True, nulls_first=False)]
    order += [exp.Ordered(this=tie, desc=False, nulls_first=True) for tie in ties]
    return exp.Window(this=exp.RowNumber(), order=exp.Order(expressions=order))


def row_count() -> Expression:
    """How many rows there are, beside each of them."""
    return exp.Window(this=exp.Count(this=exp.Star()))


def select_over(relation: str | Expression, added: Mapping[str, Expression]) -> Expression:
    """A relation with more columns, as something that can stand in FROM again."""
    return _Layer(this=_source(relation), names=list(added), expressions=list(added.values()))


def only(relation: str | Expression, condition: Expression) -> Expression:
    """The rows of a relation that meet a condition, as something that can stand in FROM again."""
    return derived(where(relation, [exp.Star()], condition))


def everything(relation: str | Expression) -> Expression:
    """``SELECT * FROM relation``."""
    return _from([exp.Star()], relation)


def layered(relation: str | Expression, layers: Iterable[Mapping[str, Expression]]) -> str | Expression:
    """A relation with layers of more columns; each layer sees the relation and the layers before it."""
    for layer in layers:
        relation = select_over(relation, layer)
    return relation


def select(
    relation: str | Expression, columns: Mapping[str, Expression], by: Collection[Expression] = ()
) -> exp.Select:
    """``SELECT columns FROM relation``; grouped ``by`` columns a row for each of their values, which come first."""
    query = _from([*by, *_named(columns)], relation)
    if by:
        query.set("group", exp.Group(expressions=[again(column) for column in by]))
    return query


def _named(columns: Mapping[str, Expression]) -> list[Expression]:
    return [exp.Alias(this=value, alias=exp.Identifier(this=name, quoted=True)) for name, value in columns.items()]


@functools.lru_cache(maxsize=256)
def _table(relation: str) -> exp.Table:
    """A relation's name as a tree; parsing it would cost as much as writing a small query out."""
    return exp.to_table(relation)


def _source(relation: str | Expression) -> Expression:
    return _table(relation).copy() if isinstance(relation, str) else relation


def _from(columns: Sequence[Expression], relation: str | Expression) -> exp.Select:
    return exp.Select(expressions=list(columns), from_=exp.From(this=_source(relation)))


def field_of(struct: Expression, name: str) -> Expression:
    """A field of a struct."""
    return exp.Dot(this=struct, expression=exp.Identifier(this=name, quoted=True))


def struct_fields(kind: str, dialect: str) -> dict[str, str]:
    """The fields of a struct type, with their types as the dialect writes them; empty for any other type.

    >>> struct_fields("STRUCT(a INTEGER, b VARCHAR[])", "duckdb")
    {'a': 'INT', 'b': 'TEXT[]'}
    >>> struct_fields("STRUCT<a: INT, b: ARRAY<STRING>>", "spark")
    {'a': 'INT', 'b': 'ARRAY<STRING>'}
    """
    if kind.startswith("STRUCT<"):
        dialect = "spark"
    elif not kind.upper().startswith("STRUCT(") or kind.endswith("]"):
        return {}
    fields = exp.DataType.build(kind, dialect=dialect).expressions
    return {field.name: field.args["kind"].sql(dialect=dialect) for field in fields}
