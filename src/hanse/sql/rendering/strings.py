"""Functions of strings."""

from __future__ import annotations

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function, plain, refused
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.operators import java_pattern
from hanse.sql.rendering.templates import duck, number, text, wrapped
from hanse.sql.rendering.types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    INT,
    NULL,
    STRING,
    Type,
    array,
    common_types,
)
from hanse.sql.rendering.values import Value, misfit, unsupported

__all__ = ["STRINGS"]


def _concat(call: Call) -> Value:
    values = call.values()
    if not values:
        return Value(text(""), STRING)
    if any(value.type.kind == "array" for value in values):
        return _concat_arrays(call, values)
    parts = [coerce(value, STRING, call.node).sql for value in values]
    result: exp.Expr = wrapped(parts[0])
    for part in parts[1:]:
        result = exp.DPipe(this=result, expression=wrapped(part), safe=True)
    return Value(result, STRING)


def _concat_arrays(call: Call, values: list[Value]) -> Value:
    type_ = common_types([value.type for value in values])
    if type_ is None or type_ == NULL:
        raise misfit(call.node, "concat of values that do not fit each other", "need all strings or all arrays")
    arrays = [coerce(value, type_, call.node).sql for value in values]
    result: exp.Expr = arrays[0]
    for other in arrays[1:]:
        result = duck("CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN list_concat({0}, {1}) END", result, other)
    return Value(result, type_)


_SUBSTRING = (
    "CASE WHEN {1} > 0 THEN substring({0}, {1}, {2}) "
    "WHEN {1} = 0 THEN substring({0}, 1, {2}) "
    "WHEN {1} < 0 THEN substring({0}, greatest(length({0}) + {1} + 1, 1), "
    "{2} + greatest(least(length({0}) + {1}, 0), -{2})) END"
)


def _substring(call: Call) -> Value:
    value = call.as_type(0, STRING)
    start = call.as_type(1, INT)
    length = call.as_type(2, INT) if len(call) > 2 else None
    if start.integer is not None and start.integer >= 0:
        first = number(max(start.integer, 1))
        if length is None:
            return Value(duck("substring({0}, {1})", value.sql, first), STRING)
        return Value(duck("substring({0}, {1}, {2})", value.sql, first, _count(length)), STRING)
    count = _count(length) if length is not None else number(2147483647)
    return Value(duck(_SUBSTRING, value.sql, start.sql, count), STRING)


def _count(value: Value) -> exp.Expr:
    """A length, none below 0; NULL stays NULL, which greatest would skip."""
    if value.integer is not None:
        return number(max(value.integer, 0))
    return duck("CASE WHEN {0} < 0 THEN 0 ELSE {0} END", value.sql)


def _counted(template: str, *others: Type) -> Function:
    """A template whose last argument is a length."""

    def build(call: Call) -> Value:
        values = [call.as_type(index, type_).sql for index, type_ in enumerate(others)]
        return Value(duck(template, *values, _count(call.as_type(len(others), INT))), STRING)

    return Function(len(others) + 1, len(others) + 1, build)


def _trim(name: str) -> Function:
    def build(call: Call) -> Value:
        if len(call) == 1:
            return Value(duck(f"{name}({{0}}, ' ')", call.as_type(0, STRING).sql), STRING)
        characters, value = call.as_type(0, STRING), call.as_type(1, STRING)
        if call.name == "btrim":
            characters, value = value, characters
        return Value(duck(f"{name}({{0}}, {{1}})", value.sql, characters.sql), STRING)

    return Function(1, 2, build)


def _pattern(call: Call, index: int) -> exp.Expr:
    return java_pattern(call.as_type(index, STRING), call.nodes[index])


def _regexp_extract(call: Call) -> Value:
    group = call.integer(2) if len(call) > 2 else 1
    if not 0 <= group <= 9:
        raise misfit(call.nodes[2], f"group {group} of a regular expression", "need 0 to 9")
    value, pattern = call.as_type(0, STRING).sql, _pattern(call, 1)
    return Value(duck(f"regexp_extract({{0}}, {{1}}, {group})", value, pattern), STRING)


def _regexp_extract_all(call: Call) -> Value:
    group = call.integer(2) if len(call) > 2 else 1
    value, pattern = call.as_type(0, STRING).sql, _pattern(call, 1)
    return Value(duck(f"regexp_extract_all({{0}}, {{1}}, {group})", value, pattern), array(STRING))


def _regexp_replace(call: Call) -> Value:
    if len(call) > 3:
        raise unsupported(call.nodes[3], "regexp_replace from a position", "use substring")
    value, pattern = call.as_type(0, STRING).sql, _pattern(call, 1)
    replacement = call.as_type(2, STRING)
    if replacement.literal is None:
        raise unsupported(call.nodes[2], "regexp_replace with a computed replacement", "write it out")
    new = text(_duck_replacement(replacement.literal))
    return Value(duck("regexp_replace({0}, {1}, {2}, 'g')", value, pattern, new), STRING)


def _duck_replacement(replacement: str) -> str:
    r"""Java's ``$1`` is RE2's ``\1``; ``\$`` is a dollar."""
    result, at = "", 0
    while at < len(replacement):
        sign, following = replacement[at], replacement[at + 1 : at + 2]
        if sign == "$" and following.isdigit():
            result += "\\" + following
            at += 2
        elif sign == "\\" and following:
            result += "\\\\" if following == "\\" else following
            at += 2
        else:
            result += sign
            at += 1
    return result


def _rlike(call: Call) -> Value:
    return Value(duck("regexp_matches({0}, {1})", call.as_type(0, STRING).sql, _pattern(call, 1)), BOOLEAN)


def _locate(call: Call) -> Value:
    needle, value = call.as_type(0, STRING), call.as_type(1, STRING)
    start = call.as_type(2, INT) if len(call) > 2 else Value(number(1), INT)
    if start.integer is not None and start.integer > 0 and (start.integer == 1 or needle.literal == ""):
        return Value(duck("CAST(instr({0}, {1}) AS INTEGER)", value.sql, needle.sql), INT)
    return Value(duck(_LOCATE, value.sql, needle.sql, start.sql), INT)


_LOCATE = (
    "CAST(CASE WHEN {2} IS NULL THEN 0 WHEN {2} < 1 THEN 0 * instr({0}, {1}) WHEN {1} = '' THEN instr({0}, {1}) "
    "WHEN instr(substring({0}, {2}), {1}) = 0 THEN 0 ELSE instr(substring({0}, {2}), {1}) + {2} - 1 END AS INTEGER)"
)
"""A start that is NULL gives 0, and so does one before the text; nothing is found at the first place."""


def _pad(name: str) -> Function:
    def build(call: Call) -> Value:
        value, size = call.as_type(0, STRING).sql, _count(call.as_type(1, INT))
        filler = call.as_type(2, STRING) if len(call) > 2 else Value(text(" "), STRING)
        if filler.literal == "":
            return Value(duck("substring({0}, 1, {1})", value, size), STRING)
        padded = duck(f"{name}({{0}}, CAST({{1}} AS INTEGER), {{2}})", value, size, filler.sql)
        if filler.literal is None:  # DuckDB fails where there is nothing to pad with
            padded = duck(
                "CASE WHEN {0} = '' THEN substring({1}, 1, {2}) ELSE {3} END", filler.sql, value, size, padded
            )
        return Value(padded, STRING)

    return Function(2, 3, build)


_INITCAP = (
    "array_to_string(list_transform(string_split(lower({0}), ' '), "
    "lambda _w: upper(substring(_w, 1, 1)) || substring(_w, 2)), ' ')"
)


def _overlay(call: Call) -> Value:
    value, new, start = call.as_type(0, STRING).sql, call.as_type(1, STRING).sql, call.as_type(2, INT).sql
    count = call.as_type(3, INT).sql if len(call) > 3 else duck("length({0})", new)
    return Value(duck("substring({0}, 1, {2} - 1) || {1} || substring({0}, CAST({2} + {3} AS INTEGER))",
                      value, new, start, count), STRING)  # fmt: skip


def _length(call: Call) -> Value:
    value = call.value(0)
    if value.type.kind == "binary":
        return Value(duck("CAST(octet_length({0}) AS INTEGER)", value.sql), INT)
    return Value(duck("CAST(length({0}) AS INTEGER)", coerce(value, STRING, call.node).sql), INT)


def _contains(name: str) -> Function:
    return plain(f"{name}({{0}}, {{1}})", STRING, STRING, returns=BOOLEAN)


def _replace(call: Call) -> Value:
    new = call.as_type(2, STRING).sql if len(call) > 2 else text("")
    value, old = call.as_type(0, STRING).sql, call.as_type(1, STRING).sql
    return Value(duck("replace({0}, {1}, {2})", value, old, new), STRING)


def _sha2(call: Call) -> Value:
    if call.integer(1) not in (0, 256):
        raise unsupported(call.nodes[1], f"sha2 of {call.integer(1)} bits", "use 256")
    return Value(duck("sha256({0})", _bytes(call, 0)), STRING)


def _bytes(call: Call, index: int) -> exp.Expr:
    value = call.value(index)
    return value.sql if value.type == BINARY else coerce(value, STRING, call.node).sql


def _digest(name: str) -> Function:
    return Function(1, 1, lambda call: Value(duck(f"{name}({{0}})", _bytes(call, 0)), STRING))


def _base64(call: Call) -> Value:
    value = coerce(call.value(0), BINARY, call.node)
    return Value(duck("to_base64({0})", value.sql), STRING)


def _hex(call: Call) -> Value:
    value = call.value(0)
    if value.type.is_numeric:
        return Value(duck("to_hex({0})", coerce(value, BIGINT, call.node).sql), STRING)
    return Value(duck("hex({0})", value.sql), STRING)


def _upper(call: Call) -> Value:
    """Upper case, with the sharp s as two letters, which DuckDB makes one of."""
    value = call.as_type(0, STRING)
    if value.literal is not None and "ß" not in value.literal:
        return Value(duck("upper({0})", value.sql), STRING)
    if isinstance(value.sql, exp.Column):
        return Value(duck("CASE WHEN contains({0}, 'ß') THEN upper(replace({0}, 'ß', 'ss')) ELSE upper({0}) END",
                          value.sql), STRING)  # fmt: skip
    return Value(duck("upper(replace({0}, 'ß', 'ss'))", value.sql), STRING)


def _reverse(call: Call) -> Value:
    value = call.value(0)
    if value.type.kind == "array":
        return Value(duck("list_reverse({0})", value.sql), value.type)
    return Value(duck(_REVERSE, coerce(value, STRING, call.node).sql), STRING)


_REVERSE = (
    "CASE WHEN strlen({0}) = length({0}) THEN reverse({0}) "
    "ELSE array_to_string(list_reverse(regexp_extract_all({0}, '(?s).')), '') END"
)
"""By code points; DuckDB keeps what stands for one character together."""


STRINGS: dict[str, Function] = {
    "concat": Function(0, 1000, _concat),
    "upper": Function(1, 1, _upper),
    "lower": plain("lower({0})", STRING, returns=STRING),
    "initcap": plain(_INITCAP, STRING, returns=STRING),
    "length": Function(1, 1, _length),
    "octet_length": plain("CAST(strlen({0}) AS INTEGER)", STRING, returns=INT),
    "bit_length": plain("CAST(strlen({0}) * 8 AS INTEGER)", STRING, returns=INT),
    "substring": Function(2, 3, _substring),
    "left": _counted("substring({0}, 1, {1})", STRING),
    "right": _counted("right({0}, {1})", STRING),
    "trim": _trim("trim"),
    "btrim": _trim("trim"),
    "ltrim": _trim("ltrim"),
    "rtrim": _trim("rtrim"),
    "lpad": _pad("lpad"),
    "rpad": _pad("rpad"),
    "regexp_extract": Function(2, 3, _regexp_extract),
    "regexp_extract_all": Function(2, 3, _regexp_extract_all),
    "regexp_replace": Function(3, 4, _regexp_replace),
    "regexp_like": Function(2, 2, _rlike),
    "regexp_count": Function(
        2,
        2,
        lambda call: Value(
            duck(
                "CAST(len(regexp_extract_all({0}, {1})) AS INTEGER)",
                call.as_type(0, STRING).sql,
                _pattern(call, 1),
            ),
            INT,
        ),
    ),
    "rlike": Function(2, 2, _rlike),
    "instr": plain("CAST(instr({0}, {1}) AS INTEGER)", STRING, STRING, returns=INT),
    "locate": Function(2, 3, _locate),
    "position": Function(2, 3, _locate),
    "replace": Function(2, 3, _replace),
    "translate": plain("translate({0}, {1}, {2})", STRING, STRING, STRING, returns=STRING),
    "overlay": Function(3, 4, _overlay),
    "repeat": _counted("repeat({0}, {1})", STRING),
    "reverse": Function(1, 1, _reverse),
    "space": _counted("repeat(' ', {0})"),
    "ascii": plain("CASE WHEN {0} = '' THEN 0 ELSE ascii({0}) END", STRING, returns=INT),
    "chr": plain("chr(CAST({0} % 256 AS INTEGER))", BIGINT, returns=STRING),
    "contains": _contains("contains"),
    "startswith": _contains("starts_with"),
    "endswith": _contains("ends_with"),
    "levenshtein": plain("CAST(levenshtein({0}, {1}) AS INTEGER)", STRING, STRING, returns=INT),
    "md5": _digest("md5"),
    "sha1": _digest("sha1"),
    "sha2": Function(2, 2, _sha2),
    "base64": Function(1, 1, _base64),
    "unbase64": plain("from_base64({0})", STRING, returns=BINARY),
    "hex": Function(1, 1, _hex),
    "unhex": plain("TRY(unhex({0}))", STRING, returns=BINARY),
    "elt": refused("use element_at(array(...), n)"),
    "luhn_check": refused("write it with transform and aggregate"),
}
for _alias, _name in {
    "ucase": "upper", "lcase": "lower", "char_length": "length", "character_length": "length", "len": "length",
    "substr": "substring", "regexp": "regexp_like", "char": "chr", "sha": "sha1",
}.items():  # fmt: skip
    STRINGS[_alias] = STRINGS[_name]
