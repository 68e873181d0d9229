"""Functions that cut a text at separators, or join texts with them."""

from __future__ import annotations

import re

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.operators import java_pattern
from hanse.sql.rendering.templates import duck, duck_once, number, text
from hanse.sql.rendering.types import INT, STRING, array
from hanse.sql.rendering.values import Value, misfit, unsupported

__all__ = ["SEPARATORS", "joined"]


def _concat_ws(call: Call) -> Value:
    separator = call.as_type(0, STRING).sql
    if not any(value.type.kind == "array" for value in call.values()[1:]):
        parts = [coerce(value, STRING, call.node).sql for value in call.values()[1:]]
        if not parts:
            return Value(duck("CASE WHEN {0} IS NOT NULL THEN '' END", separator), STRING)
        return Value(exp.Anonymous(this="concat_ws", expressions=[separator, *parts]), STRING)
    lists = []
    for value in call.values()[1:]:
        if value.type.kind == "array":
            lists.append(duck("coalesce({0}, CAST([] AS VARCHAR[]))", coerce(value, array(STRING), call.node).sql))
        else:
            lists.append(exp.Array(expressions=[coerce(value, STRING, call.node).sql]))
    every: exp.Expr = lists[0]
    for other in lists[1:]:
        every = duck("list_concat({0}, {1})", every, other)
    kept = duck("list_filter({0}, lambda _s: _s IS NOT NULL)", every)
    if call.value(0).literal is None:
        return Value(joined(kept, separator), STRING)
    return Value(duck("coalesce(array_to_string({0}, {1}), '')", kept, separator), STRING)


def _split(call: Call) -> Value:
    value = call.as_type(0, STRING)
    if len(call) > 2 and call.integer(2) > 0:
        raise unsupported(call.node, "split with a limit", "use slice(split(...), 1, n)")
    pattern = call.as_type(1, STRING)
    if pattern.literal == "":
        return Value(duck("CASE WHEN {0} = '' THEN [''] ELSE regexp_extract_all({0}, '(?s).') END", value.sql),
                     array(STRING))  # fmt: skip
    if pattern.literal == "|":
        each = duck("list_append(regexp_extract_all({0}, '(?s).'), '')", value.sql)
        return Value(_present(each, value), array(STRING))
    if pattern.literal is not None and _matches_nothing(pattern.literal):
        what = f"split at {pattern.literal!r}, which matches the empty text"
        raise unsupported(call.nodes[1], what, "write a pattern that matches at least one character")
    return Value(
        _present(duck("string_split_regex({0}, {1})", value.sql, java_pattern(pattern, call.nodes[1])), pattern),
        array(STRING),
    )


def _matches_nothing(pattern: str) -> bool:
    try:
        return re.search(pattern, "") is not None
    except re.error:
        return False


def _split_part(call: Call) -> Value:
    if call.integer(2) == 0:
        raise misfit(call.nodes[2], "split_part 0", "parts are numbered from 1, or from -1 at the end")
    value, separator, part = call.as_type(0, STRING).sql, call.as_type(1, STRING), call.integer(2)
    split = duck("split_part({0}, {1}, {2})", value, separator.sql, number(part))
    if separator.literal:
        return Value(split, STRING)
    whole = value if part in (1, -1) else duck("CASE WHEN {0} IS NOT NULL THEN '' END", value)
    return Value(duck("CASE WHEN {0} = '' THEN {1} ELSE {2} END", separator.sql, whole, split), STRING)


def _substring_index(call: Call) -> Value:
    value, separator, count = call.as_type(0, STRING), call.as_type(1, STRING), call.integer(2)
    if count == 0 or separator.literal == "":
        return Value(_present(text(""), value, separator), STRING)
    split = duck("string_split({0}, {1})", value.sql, separator.sql)
    if count > 0:
        parts = duck(f"list_slice({{0}}, 1, {count})", split)
    else:
        parts = duck(f"list_slice({{0}}, greatest(len({{0}}) - {-count} + 1, 1), len({{0}}))", split)
    if separator.literal is not None:
        return Value(duck("array_to_string({0}, {1})", parts, separator.sql), STRING)
    return Value(duck("CASE WHEN {1} <> '' THEN {0} WHEN {1} = '' THEN {2} END", joined(parts, separator.sql),
                      separator.sql, _present(text(""), value)), STRING)  # fmt: skip


def _find_in_set(call: Call) -> Value:
    value, listed = call.as_type(0, STRING), call.as_type(1, STRING)
    found = duck("coalesce(list_position(string_split({1}, ','), {0}), 0)", value.sql, listed.sql)
    return Value(_present(found, value, listed), INT)


def joined(parts: exp.Expr, separator: exp.Expr) -> exp.Expression:
    """Texts of a list, none of them NULL, with a separator that may differ from row to row."""
    texts = duck_once("list_reduce({0}, lambda _a, _s: _a || {1} || _s, '')", parts, separator)
    return duck("substring({0}, length({1}) + 1)", texts, separator)


def _present(result: exp.Expression, *values: Value) -> exp.Expression:
    """``result``, or NULL where one of ``values`` is NULL; a literal never is."""
    tests = [duck("{0} IS NOT NULL", value.sql) for value in values if value.literal is None]
    if not tests:
        return result
    return duck("CASE WHEN {0} THEN {1} END", exp.and_(*tests, wrap=False), result)


SEPARATORS: dict[str, Function] = {
    "concat_ws": Function(1, 1000, _concat_ws),
    "split": Function(2, 3, _split),
    "split_part": Function(3, 3, _split_part),
    "substring_index": Function(3, 3, _substring_index),
    "find_in_set": Function(2, 2, _find_in_set),
}
