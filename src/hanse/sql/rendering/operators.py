"""Operators: arithmetic, comparison, logic, LIKE and IN, with Spark's implicit casts."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.casts import coerce, to_boolean
from hanse.sql.rendering.scope import Scope
from hanse.sql.rendering.templates import cast_to, duck
from hanse.sql.rendering.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INT,
    INTERVAL_DAYS,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
    common_type,
    common_types,
    comparison_type,
    decimal,
    decimal_of,
)
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["arithmetic", "compare", "handlers", "in_list", "in_query", "java_pattern", "numeric"]

Bind = Callable[[exp.Expr, Scope], Value]
Handler = Callable[[exp.Expr, Scope], Value]

_SYMBOLS: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "div", exp.Mod: "%",
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "<=>", exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^",
}  # fmt: skip
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_JAVA_ONLY = re.compile(r"\(\?[=!>]|\(\?<[=!]|\\[1-9]|[*+?}]\+|\\[pP]\{(Is|In|java|Alpha|Digit|Punct)|&&|\\[hRGZ]")


def handlers(bind: Bind) -> dict[type[exp.Expr], Handler]:
    """The handler of each operator's class."""

    def arithmetic_node(node: exp.Expr, scope: Scope) -> Value:
        left, right = settle(bind(node.this, scope)), settle(bind(node.expression, scope))
        return arithmetic(_SYMBOLS[type(node)], left, right, node)

    def comparison_node(node: exp.Expr, scope: Scope) -> Value:
        left, right = settle(bind(node.this, scope)), settle(bind(node.expression, scope))
        return compare(type(node), left, right, node)

    def logic(node: exp.Expr, scope: Scope) -> Value:
        what = f"an operand of {type(node).__name__.upper()}"
        left = to_boolean(bind(node.this, scope), node.this, what)
        right = to_boolean(bind(node.expression, scope), node.expression, what)
        return Value(type(node)(this=_for_logic(left.sql, node), expression=_for_logic(right.sql, node)), BOOLEAN)

    def negation(node: exp.Expr, scope: Scope) -> Value:
        inner = to_boolean(bind(node.this, scope), node.this, "an operand of NOT").sql
        return Value(exp.Not(this=exp.Paren(this=inner) if isinstance(inner, exp.Binary) else inner), BOOLEAN)

    def minus(node: exp.Expr, scope: Scope) -> Value:
        value = settle(bind(node.this, scope))
        if value.type.is_interval:
            return Value(duck("-{0}", value.sql), value.type)
        value = numeric(value, node)
        return Value(duck("-{0}", value.sql), value.type)

    def complement(node: exp.Expr, scope: Scope) -> Value:
        value = _integral(settle(bind(node.this, scope)), node)
        return Value(duck("~{0}", value.sql), value.type)

    def is_node(node: exp.Expr, scope: Scope) -> Value:
        value, right = settle(bind(node.this, scope)), node.expression
        if isinstance(right, exp.Null):
            return Value(duck("{0} IS NULL", value.sql), BOOLEAN)
        if isinstance(right, exp.Boolean):
            value = to_boolean(value, node, "an operand of IS")
            return Value(duck(f"{{0}} IS NOT DISTINCT FROM {'TRUE' if right.this else 'FALSE'}", value.sql), BOOLEAN)
        raise unsupported(node, "IS with anything but NULL, TRUE and FALSE")

    def between(node: exp.Expr, scope: Scope) -> Value:
        value = settle(bind(node.this, scope))
        low, high = (settle(bind(node.args[key], scope)) for key in ("low", "high"))
        lower = comparison_type(value.type, low.type)
        if lower is not None and lower == comparison_type(value.type, high.type) and lower == value.type:
            sides = coerce(low, lower, node), coerce(high, lower, node)
            return Value(duck("{0} BETWEEN {1} AND {2}", value.sql, *(side.sql for side in sides)), BOOLEAN)
        first, second = compare(exp.GTE, value, low, node), compare(exp.LTE, value, high, node)
        return Value(exp.Paren(this=exp.And(this=first.sql, expression=second.sql)), BOOLEAN)

    def like(node: exp.Expr, scope: Scope) -> Value:
        return _like(node, scope, bind, None)

    def escape(node: exp.Expr, scope: Scope) -> Value:
        if not isinstance(node.this, (exp.Like, exp.ILike)):
            raise unsupported(node, "ESCAPE without LIKE")
        return _like(node.this, scope, bind, node.expression)

    def rlike(node: exp.Expr, scope: Scope) -> Value:
        value = coerce(bind(node.this, scope), STRING, node)
        pattern = java_pattern(coerce(bind(node.expression, scope), STRING, node), node)
        return Value(duck("regexp_matches({0}, {1})", value.sql, pattern), BOOLEAN)

    def concat(node: exp.Expr, scope: Scope) -> Value:
        left, right = settle(bind(node.this, scope)), settle(bind(node.expression, scope))
        if left.type.kind == "array" and right.type.kind == "array":
            target = common_type(left.type, right.type)
            if target is not None:
                parts = coerce(left, target, node).sql, coerce(right, target, node).sql
                return Value(duck("CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN list_concat({0}, {1}) END",
                                  *parts), target)  # fmt: skip
        both = coerce(left, STRING, node), coerce(right, STRING, node)
        return Value(duck("{0} || {1}", *(part.sql for part in both)), STRING)

    table: dict[type[exp.Expr], Handler] = dict.fromkeys(
        (
            exp.Add,
            exp.Sub,
            exp.Mul,
            exp.Div,
            exp.IntDiv,
            exp.Mod,
            exp.BitwiseAnd,
            exp.BitwiseOr,
            exp.BitwiseXor,
        ),
        arithmetic_node,
    )
    table |= dict.fromkeys(_COMPARISONS, comparison_node)
    table |= {exp.And: logic, exp.Or: logic, exp.Not: negation, exp.Neg: minus, exp.BitwiseNot: complement}
    table |= {exp.Is: is_node, exp.Between: between, exp.Like: like, exp.ILike: like, exp.Escape: escape}
    table |= {exp.RegexpLike: rlike, exp.DPipe: concat}
    return table


def _for_logic(sql: exp.Expr, node: exp.Expr) -> exp.Expr:
    loose = isinstance(sql, exp.Or) if isinstance(node, exp.And) else False
    return exp.Paren(this=sql) if loose else sql


def numeric(value: Value, node: exp.Expr) -> Value:
    """An operand of arithmetic: strings are read as doubles."""
    if value.type.kind in ("string", "null"):
        return coerce(value, DOUBLE, node)
    if not value.type.is_numeric:
        raise misfit(node, f"arithmetic on a value of type {value.type}", "need a number")
    return value


def _integral(value: Value, node: exp.Expr) -> Value:
    if value.type == NULL:
        return coerce(value, INT, node)
    if not value.type.is_integral:
        raise misfit(node, f"a bitwise operator on a value of type {value.type}", "need an integer")
    return value


def arithmetic(symbol: str, left: Value, right: Value, node: exp.Expr) -> Value:
    """``left symbol right``, with Spark's types and NULL where the divisor is zero."""
    if left.type.kind in _TEMPORAL or right.type.kind in _TEMPORAL or left.type.is_interval or right.type.is_interval:
        return _temporal(symbol, left, right, node)
    if symbol in "&|^":
        left, right = _integral(left, node), _integral(right, node)
        wide = _wider(left, right)
        template = "xor({0}, {1})" if symbol == "^" else f"{{0}} {symbol} {{1}}"
        return Value(duck(template, coerce(left, wide).sql, coerce(right, wide).sql), wide)
    if left.type.kind == "null" and right.type.is_numeric and right.type.kind != "null":
        left = coerce(left, right.type, node)
    if right.type.kind == "null" and left.type.is_numeric:
        right = coerce(right, left.type, node)
    left, right = numeric(left, node), numeric(right, node)
    if symbol == "div":
        return _integer_division(left, right)
    if "decimal" in (left.type.kind, right.type.kind) and not (left.type.is_fractional or right.type.is_fractional):
        return _decimal(symbol, left, right)
    if symbol == "/":
        return Value(duck("{0} / {1}", coerce(left, DOUBLE).sql, divisor(right)), DOUBLE)
    wide = _wider(left, right)
    if wide.is_fractional or {left.type.kind, right.type.kind} & {"tinyint", "smallint"}:
        left, right = coerce(left, wide), coerce(right, wide)
    if symbol == "%":
        return Value(duck("{0} % {1}", left.sql, divisor(right)), wide)
    return Value(duck(f"{{0}} {symbol} {{1}}", left.sql, right.sql), wide)


def divisor(value: Value) -> exp.Expr:
    """A divisor that is NULL rather than zero."""
    if isinstance(value.sql, exp.Literal) and float(value.sql.name) != 0:
        return value.sql
    return duck("nullif({0}, 0)", value.sql)


def _wider(left: Value, right: Value) -> Type:
    wide = common_type(left.type, right.type)
    return wide if wide is not None else DOUBLE


def _integer_division(left: Value, right: Value) -> Value:
    if left.type.is_integral and right.type.is_integral:
        return Value(duck("CAST({0} AS BIGINT) // {1}", left.sql, divisor(right)), BIGINT)
    ratio = duck("trunc({0} / nullif({1}, 0))", coerce(left, DOUBLE).sql, coerce(right, DOUBLE).sql)
    return Value(cast_to(ratio, BIGINT, safe=True), BIGINT)


def _as_decimal(value: Value) -> Type:
    """A literal is as precise as it is written; anything else as its type."""
    if value.integer is not None:
        return decimal(max(len(str(abs(value.integer))), 1), 0)
    return decimal_of(value.type)


_LONG_QUOTIENT = (
    "TRY_CAST(TRY_CAST(round(({0} - {0} % nullif({1}, 0)) / nullif({1}, 0)) AS DECIMAL(38, 0)) AS {T}) "
    "+ TRY_CAST(CAST(CAST({0} % nullif({1}, 0) AS DOUBLE) / {1} AS VARCHAR) AS {T})"
)
"""The whole part exactly, then what is left, as it is written: a double has digits enough, and no binary ones show."""


def _decimal(symbol: str, left: Value, right: Value) -> Value:
    """Decimals as in Spark's DecimalPrecision; a quotient carries what a double carries, 15 digits."""
    a, b = _as_decimal(left), _as_decimal(right)
    (p1, s1), (p2, s2) = (a.precision, a.scale), (b.precision, b.scale)
    if symbol == "/":
        scale = max(6, s1 + p2 + 1)
        type_ = decimal(p1 - s1 + s2 + scale, scale)
        if type_.precision <= 15:
            quotient = duck("{0} / {1}", cast_to(left.sql, DOUBLE), divisor(right))
            return Value(cast_to(quotient, type_, safe=True), type_)
        parts = duck(
            _LONG_QUOTIENT.replace("{T}", f"DECIMAL({min(type_.precision, 37)}, {type_.scale})"),
            cast_to(left.sql, a),
            cast_to(right.sql, b),
        )
        return Value(cast_to(parts, type_, safe=True), type_)
    if symbol == "*":
        type_ = decimal(p1 + p2 + 1, s1 + s2)
        if p1 + p2 > 18:
            return Value(cast_to(duck("{0} * {1}", _widened(left, a), _widened(right, b)), type_, safe=True), type_)
        return Value(duck("{0} * {1}", cast_to(left.sql, a) if left.type.is_integral else left.sql,
                          cast_to(right.sql, b) if right.type.is_integral else right.sql), type_)  # fmt: skip
    if symbol == "%":
        type_ = decimal(min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2))
        return Value(cast_to(duck("{0} % nullif({1}, 0)", left.sql, right.sql), type_, safe=True), type_)
    scale = max(s1, s2)
    type_ = decimal(max(p1 - s1, p2 - s2) + scale + 1, scale)
    sides = [cast_to(left.sql, type_), cast_to(right.sql, type_)] if type_.precision > 18 else [left.sql, right.sql]
    return Value(cast_to(duck(f"{{0}} {symbol} {{1}}", *sides), type_), type_)


def _widened(value: Value, type_: Type) -> exp.Expression:
    return cast_to(value.sql, decimal(19, type_.scale) if type_.precision < 19 else type_)


_TEMPORAL = ("date", "timestamp")


def _temporal(symbol: str, left: Value, right: Value, node: exp.Expr) -> Value:
    kinds = left.type.kind, right.type.kind
    if symbol == "+" and (right.type.kind in _TEMPORAL or left.type.is_interval) and left.type.kind not in _TEMPORAL:
        left, right = right, left
        kinds = left.type.kind, right.type.kind
    if left.type.kind == "string" and right.type.is_interval:
        left = coerce(left, TIMESTAMP, node)
        kinds = left.type.kind, right.type.kind
    if symbol in "+-" and kinds[0] in _TEMPORAL and right.type.is_interval:
        stays = kinds[0] == "date" and right.type.kind != "interval"
        moved = duck(f"{{0}} {symbol} {{1}}", left.sql, right.sql)
        return Value(cast_to(moved, DATE) if stays else moved, DATE if stays else TIMESTAMP)
    if symbol in "+-" and kinds[0] == "date" and right.type.is_integral:
        return Value(duck(f"{{0}} {symbol} {{1}}", left.sql, coerce(right, INT).sql), DATE)
    if symbol == "-" and kinds == ("date", "date"):
        return Value(duck("to_days(CAST({0} - {1} AS INTEGER))", left.sql, right.sql), INTERVAL_DAYS)
    if symbol == "-" and set(kinds) <= {"date", "timestamp", "string"}:
        sides = coerce(left, TIMESTAMP, node), coerce(right, TIMESTAMP, node)
        return Value(duck("{0} - {1}", *(side.sql for side in sides)), Type("interval"))
    if symbol in "+-" and left.type.is_interval and right.type.is_interval:
        kind = left.type if left.type == right.type else Type("interval")
        return Value(duck(f"{{0}} {symbol} {{1}}", left.sql, right.sql), kind)
    if symbol == "*" and left.type.is_interval and right.type.is_integral:
        return Value(duck("{0} * {1}", left.sql, right.sql), left.type)
    if symbol == "*" and right.type.is_interval and left.type.is_integral:
        return Value(duck("{1} * {0}", left.sql, right.sql), right.type)
    raise misfit(node, f"{left.type} {symbol} {right.type}", "use date_add, datediff or an INTERVAL")


def compare(class_: type[exp.Expr], left: Value, right: Value, node: exp.Expr) -> Value:
    """``left = right`` and its kin, in the type that Spark compares in."""
    target = comparison_type(left.type, right.type)
    if target is None or "map" in (left.type.kind, right.type.kind):
        raise misfit(node, f"a comparison of {left.type} with {right.type}", "cast one to the other's type")
    if target.is_nested and class_ not in (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ):
        raise unsupported(
            node, f"{_SYMBOLS[class_]} of {target.kind}s", "compare their parts; NULLs inside order otherwise"
        )
    if not (left.type.is_numeric and right.type.is_numeric):
        left, right = coerce(left, target, node), coerce(right, target, node)
    elif target.kind == "double" and "decimal" in (left.type.kind, right.type.kind):
        left, right = coerce(left, DOUBLE, node), coerce(right, DOUBLE, node)
    operator = "IS NOT DISTINCT FROM" if class_ is exp.NullSafeEQ else _SYMBOLS[class_]
    return Value(duck(f"{{0}} {operator} {{1}}", left.sql, right.sql), BOOLEAN)


def in_list(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    """``x IN (a, b)``: all sides in the type that they widen to."""
    values = [settle(bind(item, scope)) for item in (node.this, *node.expressions)]
    target = common_types([value.type for value in values])
    if target is None:
        shown = ", ".join(str(value.type) for value in values)
        raise misfit(node, f"IN over values of {shown}", "cast them to one type")
    first, *rest = [coerce(value, target, node).sql for value in values]
    subject = exp.Paren(this=first) if isinstance(first, (exp.Binary, exp.Not)) else first
    return Value(exp.In(this=subject, expressions=rest), BOOLEAN)


def in_query(node: exp.Expr, subject: Value, query: Value) -> Value:
    """``x IN (SELECT ...)``; a text beside anything else is compared as a text."""
    target = common_type(subject.type, query.type) or comparison_type(subject.type, query.type)
    if target is None:
        raise misfit(node, f"IN of {subject.type} over {query.type}", "cast one to the other's type")
    inner, numbers = query.sql, subject.type.is_numeric and query.type.is_numeric
    if not numbers and query.type != target:
        name = exp.to_identifier("_v")
        alias = exp.TableAlias(this=exp.to_identifier("_i"), columns=[name])
        subquery = exp.Subquery(this=inner.this, alias=alias)
        cast_column = coerce(Value(exp.Column(this=name.copy(), table=exp.to_identifier("_i")), query.type), target)
        inner = exp.Subquery(this=exp.Select(expressions=[cast_column.sql]).from_(subquery))
    if not numbers:
        subject = coerce(subject, target, node)
    first = exp.Paren(this=subject.sql) if isinstance(subject.sql, (exp.Binary, exp.Not)) else subject.sql
    return Value(exp.In(this=first, query=inner), BOOLEAN)


def _like(node: exp.Expr, scope: Scope, bind: Bind, escape: exp.Expr | None) -> Value:
    many = isinstance(node.expression, (exp.Any, exp.All))
    value = _like_many(node, scope, bind) if many else _positive_like(node, scope, bind, escape)
    if many or not node.args.get("negate"):
        return value
    return Value(exp.Not(this=exp.Paren(this=value.sql)), BOOLEAN)


def _positive_like(node: exp.Expr, scope: Scope, bind: Bind, escape: exp.Expr | None) -> Value:
    value = coerce(bind(node.this, scope), STRING, node)
    pattern = coerce(bind(node.expression, scope), STRING, node)
    operator = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    if escape is not None:
        sign = bind(escape, scope)
        matched = duck(f"{{0}} {operator} {{1}}", value.sql, pattern.sql)
        return Value(exp.Escape(this=matched, expression=sign.sql), BOOLEAN)
    if pattern.literal is not None and "\\" not in pattern.literal:
        return Value(duck(f"{{0}} {operator} {{1}}", value.sql, pattern.sql), BOOLEAN)
    return Value(duck(f"{{0}} {operator} {{1}} ESCAPE '\\'", value.sql, pattern.sql), BOOLEAN)


def _like_many(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    """``x NOT LIKE ALL (a, b)`` is ``x NOT LIKE a AND x NOT LIKE b``, and ANY joins the same terms with OR."""
    inner = node.expression.this
    patterns = inner.expressions if isinstance(inner, exp.Tuple) else [inner.unnest()]
    connector = exp.Or if isinstance(node.expression, exp.Any) else exp.And
    negate = node.args.get("negate")
    single = [type(node)(this=node.this.copy(), expression=p.copy(), negate=negate) for p in patterns]
    terms = [_like(term, scope, bind, None).sql for term in single]
    result = terms[0]
    for term in terms[1:]:
        result = connector(this=result, expression=term)
    return Value(exp.Paren(this=result) if len(terms) > 1 else result, BOOLEAN)


def java_pattern(pattern: Value, node: exp.Expr) -> exp.Expr:
    """A regular expression of Java's, where DuckDB's RE2 reads it alike.

    Raises:
        UnsupportedError: it looks around, refers back, or uses another thing that RE2 lacks.
    """
    if pattern.literal is None:
        return pattern.sql
    found = _JAVA_ONLY.search(pattern.literal)
    if found:
        what = f"the regular expression {pattern.literal!r}: {found.group()!r}"
        raise unsupported(node, what, "DuckDB's regular expressions have no look-around and no back-references")
    return pattern.sql
