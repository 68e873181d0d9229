"""The order of structs and arrays: in Spark a NULL inside comes first, in DuckDB last."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.scope import access, lambda_variable
from hanse.sql.rendering.templates import duck
from hanse.sql.rendering.types import Type
from hanse.sql.rendering.values import Value, settle, unsupported

__all__ = ["is_struct_array", "order_key", "sorted_structs"]


def order_key(value: Value, node: exp.Expr) -> exp.Expression:
    """What DuckDB orders as Spark orders ``value``: beside each part, whether it is there.

    Raises:
        UnsupportedError: the value holds arrays or maps.
    """
    fields = {"n": duck("{0} IS NOT NULL", value.sql)}
    if value.type.kind == "struct":
        for index, name in enumerate(value.type.names):
            fields[f"k{index}"] = order_key(settle(access(value, name, node)), node)
    elif value.type.is_nested:
        raise unsupported(node, f"the order of {value.type}", "order by its parts; NULLs inside order otherwise")
    else:
        fields["v"] = duck("{0}", value.sql)
    return _struct(fields)


def sorted_structs(value: Value, order: str, node: exp.Expr) -> exp.Expression:
    """An array of structs, sorted."""
    element = Value(lambda_variable("_o"), value.type.element)
    pair = _struct({"k": order_key(element, node), "e": duck("{0}", element.sql)})
    keyed = exp.Lambda(this=pair, expressions=[exp.to_identifier("_o")])
    given = exp.Lambda(this=duck("struct_extract({0}, 'e')", exp.column("_o")), expressions=[exp.to_identifier("_o")])
    return duck(f"list_transform(list_sort(list_transform({{0}}, {{1}}), {order}), {{2}})", value.sql, keyed, given)


def is_struct_array(type_: Type) -> bool:
    """Whether sorting an array of this type needs a key."""
    return type_.kind == "array" and type_.element.is_nested


def _struct(fields: dict[str, exp.Expression]) -> exp.Expression:
    items = [exp.PropertyEQ(this=exp.to_identifier(k, quoted=True), expression=v) for k, v in fields.items()]
    return exp.Struct(expressions=items)
