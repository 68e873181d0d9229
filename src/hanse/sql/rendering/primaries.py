"""Literals, CASE, casts, subscripts, arrays and structs: the expressions that are neither names nor calls."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.casts import cast_value, coerce, to_boolean
from hanse.sql.rendering.notes import note_stand_in
from hanse.sql.rendering.scope import Scope, access
from hanse.sql.rendering.spark_types import spark_type
from hanse.sql.rendering.templates import cast_to, duck, text
from hanse.sql.rendering.types import BIGINT, BINARY, DOUBLE, INT, NULL, STRING, array, common_types, decimal, struct
from hanse.sql.rendering.values import Value, misfit, settle, shown, unsupported

__all__ = ["PRIMARIES", "Primary"]

Bind = Callable[[exp.Expr, Scope], Value]
Primary = Callable[[exp.Expr, Scope, Bind], Value]


def _literal(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    if node.is_string:
        return Value(text(node.name), STRING)
    digits = node.name
    if "e" in digits.lower():
        return Value(node.copy(), DOUBLE)
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        return Value(node.copy(), decimal(max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction)))
    value = int(digits)
    if value < 2**31:
        return Value(node.copy(), INT)
    if value < 2**63:
        return Value(cast_to(node.copy(), BIGINT), BIGINT)
    return Value(cast_to(node.copy(), decimal(len(digits), 0)), decimal(len(digits), 0))


def _paren(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    value = bind(node.this, scope)
    return Value(exp.Paren(this=value.sql), value.type) if isinstance(value.sql, exp.Binary) else value


def _case(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    ifs = []
    subject = node.this
    for branch in node.args["ifs"]:
        test = exp.EQ(this=subject.copy(), expression=branch.this.copy()) if subject else branch.this
        if subject:
            note_stand_in(branch.this, test)
        ifs.append((to_boolean(bind(test, scope), branch.this, "a WHEN"), branch.args["true"]))
    default = node.args.get("default")
    results = [settle(bind(result, scope)) for _, result in ifs]
    last = settle(bind(default, scope)) if default is not None else None
    target = common_types([value.type for value in [*results, *([last] if last else [])]])
    if target is None:
        shown_types = ", ".join(str(value.type) for value in [*results, *([last] if last else [])])
        raise misfit(node, f"CASE with results of {shown_types}", "need types that fit each other")
    branches = [
        exp.If(this=test.sql, true=coerce(result, target, node).sql)
        for (test, _), result in zip(ifs, results, strict=True)
    ]
    return Value(exp.Case(ifs=branches, default=coerce(last, target, node).sql if last else None), target)


def _if(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    branch = exp.If(this=node.this.copy(), true=node.args["true"].copy())
    default = node.args.get("false")
    case = exp.Case(ifs=[branch], default=default.copy() if default is not None else None)
    case.meta.update(node.meta)
    note_stand_in(node, case)
    return _case(case, scope, bind)


def _cast(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    target = spark_type(node.args["to"])
    value = bind(node.this, scope)
    return cast_value(value, target, node, ansi_try=bool(node.args.get("safe")))


def _bracket(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise unsupported(node, f"{shown(node)}: a slice", "use slice(array, start, length)")
    return subscript(settle(bind(node.this, scope)), settle(bind(node.expressions[0], scope)), node)


def subscript(base: Value, key: Value, node: exp.Expr) -> Value:
    """``base[key]``: 0-based for arrays, NULL outside; by key for maps."""
    if base.type.kind == "map":
        key = coerce(key, base.type.args[0], node)
        return Value(duck("map_extract_value({0}, {1})", base.sql, key.sql), base.type.args[1])
    if base.type.kind == "struct" and key.literal is not None:
        return access(base, key.literal, node)
    if base.type.kind != "array":
        raise misfit(node, f"{shown(node)}: an index into a value of type {base.type}", "need an array or a map")
    if not key.type.is_integral:
        raise misfit(node, f"{shown(node)}: an index of type {key.type}", "need an integer")
    if base.projected is not None:
        array_value, field = base.projected
        return access(subscript(array_value, key, node), field, node)
    if key.integer is not None:
        if key.integer < 0:
            return Value(cast_to(exp.Null(), base.type.element), base.type.element)
        return Value(duck(f"list_extract({{0}}, {key.integer + 1})", base.sql), base.type.element)
    sql = duck("CASE WHEN {1} >= 0 THEN list_extract({0}, {1} + 1) END", base.sql, key.sql)
    return Value(sql, base.type.element)


def _array(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    values = [settle(bind(item, scope)) for item in node.expressions]
    element = common_types([value.type for value in values])
    if element is None:
        raise misfit(node, f"{shown(node)}: elements of different types", "cast them to one type")
    items = [coerce(value, element, node).sql for value in values]
    if element == NULL:
        return Value(cast_to(exp.Array(expressions=items), array(INT)), array(NULL if not items else INT))
    return Value(exp.Array(expressions=items), array(element))


def _list_column(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    base = scope.resolve(["list"], node)
    if len(node.expressions) != 1:
        raise unsupported(node, f"{shown(node)}")
    return subscript(settle(base), settle(bind(node.expressions[0], scope)), node)


def _struct(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    fields = [(item.this.name, item.expression) for item in node.expressions]
    values = [settle(bind(value, scope)) for _, value in fields]
    return make_struct([name for name, _ in fields], values)


def make_struct(names: list[str], values: list[Value]) -> Value:
    """``{'a': x, ...}``."""
    items = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value.sql)
        for name, value in zip(names, values, strict=True)
    ]
    return Value(exp.Struct(expressions=items), struct(names, [value.type for value in values]))


def _tuple(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    values = [settle(bind(item, scope)) for item in node.expressions]
    return make_struct([f"col{i + 1}" for i in range(len(values))], values)


def _hex(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    return Value(duck("unhex({0})", text(node.name)), BINARY)


def _trim(node: exp.Expr, scope: Scope, bind: Bind) -> Value:
    side = (node.args.get("position") or "").upper()
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, "btrim")
    value = settle(bind(node.this, scope))
    characters = node.args.get("expression")
    string = coerce(value, STRING, node).sql
    duck_name = {"btrim": "trim"}.get(name, name)
    if characters is None:
        return Value(duck(f"{duck_name}({{0}}, ' ')", string), STRING)
    return Value(duck(f"{duck_name}({{0}}, {{1}})", string, coerce(bind(characters, scope), STRING).sql), STRING)


PRIMARIES: dict[type[exp.Expr], tuple[Primary, str]] = {
    exp.Literal: (_literal, "this is_string"),
    exp.Paren: (_paren, "this"),
    exp.Case: (_case, "this ifs default"),
    exp.If: (_if, "this true false"),
    exp.Cast: (_cast, "this to safe _type"),
    exp.TryCast: (_cast, "this to safe _type"),
    exp.Bracket: (_bracket, "this expressions offset safe returns_list_for_maps"),
    exp.Array: (_array, "expressions"),
    exp.List: (_list_column, "expressions"),
    exp.Struct: (_struct, "expressions"),
    exp.Tuple: (_tuple, "expressions"),
    exp.HexString: (_hex, "this"),
    exp.Trim: (_trim, "this position expression"),
}
"""The handler of each class, and the arguments that it heeds; any other argument is refused."""
