"""``key = value``: the values, lists and canonical keys of OPTIONS, of table properties and of SET."""

from __future__ import annotations

import math
from typing import NoReturn

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from hanse.errors import ParseError, Position
from hanse.sql.cursor import Cursor, is_word, matching
from hanse.sql.nodes import Option, OptionValue

__all__ = [
    "KEY_ALIASES",
    "VARIANT_KEY",
    "literal",
    "parse_assignment",
    "parse_options",
    "parse_properties",
    "parse_value",
]

KEY_ALIASES: dict[str, str] = {
    "TYPE": "MODEL_TYPE",
    "MAX_ITERATIONS": "MAX_ITER",
    "REGPARAM": "REG_PARAM",
    "L2": "REG_PARAM",
    "ELASTIC_NET_PARAM": "ELASTICNETPARAM",
    "DISTANCE_TYPE": "DISTANCE_MEASURE",
}
"""Other spellings of an option's key, and the canonical one."""

VARIANT_KEY = "MODEL_VARIANT"
"""The key of MODEL_TYPE where TYPE is given too; TYPE is the algorithm then (naive_bayes_classifier)."""

_INTEGER_TYPES = frozenset({TokenType.BIGINT, TokenType.SMALLINT, TokenType.TINYINT, TokenType.INT})
_CONSTANTS: dict[str, bool | None] = {"TRUE": True, "FALSE": False, "NULL": None}


def parse_options(cursor: Cursor) -> tuple[Option, ...]:
    """Read ``(key = value, ...)``; keys are made canonical and may stand once.

    Raises:
        ParseError: not of this form, or a key that stands twice.
    """
    written = _parse_list(cursor, "an option's name", dotted=False)
    both = {"TYPE", "MODEL_TYPE"} <= {option.raw_key for option in written}
    options: dict[str, Option] = {}
    for option in written:
        key = KEY_ALIASES.get(option.raw_key, option.raw_key)
        if both and option.raw_key == "MODEL_TYPE":
            key = VARIANT_KEY
        _refuse_second(options.get(key), option)
        options[key] = Option(key, option.value, option.position, option.value_position, option.raw_key)
    return tuple(options.values())


def parse_properties(cursor: Cursor) -> tuple[Option, ...]:
    """Read ``(key = value, ...)`` of a table; a key may be dotted or a string, and has no aliases."""
    properties: dict[str, Option] = {}
    for option in _parse_list(cursor, "a property's name", dotted=True):
        _refuse_second(properties.get(option.key), option)
        properties[option.key] = option
    return tuple(properties.values())


def parse_assignment(cursor: Cursor, expected: str, *, dotted: bool) -> Option:
    """Read one ``key = value``."""
    position = cursor.position
    token = cursor.token
    if dotted and token is not None and token.token_type is TokenType.STRING:
        cursor.index += 1
        key = token.text
    else:
        key = cursor.expect_name(expected).text if dotted else _plain_key(cursor, expected)
    cursor.expect(TokenType.EQ, f"= and a value after {key}")
    value_position = cursor.position
    value = parse_value(cursor, f"a value for {key}")
    return Option(key.upper(), value, position, value_position, key.upper())


def parse_value(cursor: Cursor, expected: str = "a value") -> OptionValue:
    """Read a string, number, true, false, NULL, word, list or parameter."""
    if (parameter := cursor.accept_parameter()) is not None:
        return parameter
    token = cursor.token
    if token is None:
        cursor.fail(expected)
    if token.token_type in (TokenType.STRING, TokenType.RAW_STRING, TokenType.IDENTIFIER):
        cursor.index += 1
        return token.text
    if token.token_type in (TokenType.DASH, TokenType.PLUS, TokenType.NUMBER, TokenType.DOT):
        return _parse_number(cursor, expected)
    if token.token_type is TokenType.L_BRACKET:
        return _parse_items(cursor)
    if cursor.at_words("ARRAY"):
        cursor.index += 1
        if not cursor.at(TokenType.L_PAREN):
            cursor.fail("( after array")
        return _parse_items(cursor)
    if not is_word(token):
        cursor.fail(expected)
    cursor.index += 1
    upper = token.text.upper()
    return _CONSTANTS.get(upper, token.text)


def _parse_list(cursor: Cursor, expected: str, *, dotted: bool) -> list[Option]:
    opening = cursor.index
    cursor.expect(TokenType.L_PAREN, "( and a list of key = value")
    inner = Cursor(cursor.statement, cursor.index, matching(cursor.tokens, opening))
    options: list[Option] = []
    while True:
        options.append(parse_assignment(inner, expected, dotted=dotted))
        if not inner.accept(TokenType.COMMA):
            break
    inner.expect_end(f", or ) after the value of {options[-1].raw_key}")
    cursor.index = inner.end + 1
    return options


def _plain_key(cursor: Cursor, expected: str) -> str:
    token = cursor.token
    if token is None or not (is_word(token) or token.token_type is TokenType.IDENTIFIER):
        cursor.fail(expected)
    cursor.index += 1
    return token.text


def _refuse_second(first: Option | None, second: Option) -> None:
    if first is None:
        return
    same = first.raw_key == second.raw_key
    what = f"{second.raw_key} given twice" if same else f"{second.raw_key} means the same as {first.raw_key}"
    raise ParseError(what, f"keep one; the first stands at {first.position}", second.position)


def _parse_number(cursor: Cursor, expected: str) -> int | float:
    position = cursor.position
    sign = -1 if cursor.accept(TokenType.DASH) else 1
    if sign == 1:
        cursor.accept(TokenType.PLUS)
    point = cursor.accept(TokenType.DOT)
    token = cursor.expect(TokenType.NUMBER, f"{expected}: a number after the sign or point")
    text = f".{token.text}" if point else token.text
    whole = text.isascii() and text.isdigit()
    if cursor.at(TokenType.DCOLON):  # sqlglot reads the suffix of 10L and 0.5D as a cast
        cursor.index += 1
        suffix = cursor.token
        if suffix is None or suffix.start != token.start:
            cursor.fail("a plain number")
        cursor.index += 1
        whole = whole and suffix.token_type in _INTEGER_TYPES
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        _refuse_number(token, position)
    if not math.isfinite(number) if isinstance(number, float) else False:
        _refuse_number(token, position)
    return sign * number


def _refuse_number(token: Token, position: Position) -> NoReturn:
    raise ParseError(f"{token.text[:20]} is not a number that fits", "need a finite number", position)


def _parse_items(cursor: Cursor) -> tuple[OptionValue, ...]:
    inner = Cursor(cursor.statement, cursor.index + 1, matching(cursor.tokens, cursor.index))
    items: list[OptionValue] = []
    while inner.token or items:
        items.append(parse_value(inner, "a value in the list"))
        if not inner.accept(TokenType.COMMA):
            break
    inner.expect_end(", or the end of the list")
    cursor.index = inner.end + 1
    return tuple(items)


def literal(value: OptionValue) -> exp.Expr:
    """An option's value as sqlglot writes it."""
    return value.copy() if isinstance(value, exp.Parameter) else exp.convert(value)
