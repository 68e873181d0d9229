"""From text to the tokens of each statement, in sqlglot's Spark tokenizer's terms."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec
from sqlglot.dialects.spark import Spark
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from hanse.errors import ParseError, Position

__all__ = ["MAX_DEPTH", "TokenizedStatement", "position_at", "statements"]

MAX_DEPTH = 100
"""Brackets nested deeper than this are refused; deeper ones would exhaust Python's stack."""

_CLOSES = {
    TokenType.L_PAREN: TokenType.R_PAREN,
    TokenType.L_BRACKET: TokenType.R_BRACKET,
    TokenType.L_BRACE: TokenType.R_BRACE,
}
_CLOSING = frozenset(_CLOSES.values())
_EXACT_TEXT = frozenset(
    {
        TokenType.STRING,
        TokenType.IDENTIFIER,
        TokenType.NUMBER,
        TokenType.HINT,
        TokenType.HEX_STRING,
        TokenType.RAW_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.UNICODE_STRING,
        TokenType.BYTE_STRING,
        TokenType.BIT_STRING,
    }
)


class _Tokenizer(Spark.Tokenizer):
    """Spark's, except that SHOW, EXPLAIN and their like do not swallow the statement as one string."""

    COMMANDS = set()  # noqa: RUF012  sqlglot's own way to configure a tokenizer


class TokenizedStatement(msgspec.Struct, frozen=True):
    """One statement's tokens within the whole ``script``; ``end`` is where it ends, for errors there."""

    tokens: tuple[Token, ...]
    script: str
    end: Position


def statements(script: str) -> Iterator[TokenizedStatement]:
    """Tokenise a script and split it at its ``;``.

    Raises:
        ParseError: a string, quoted name or comment that never ends; brackets that do not match.
    """
    starts = _line_starts(script)
    tokens: list[Token] = []
    for token in _tokenise(script, starts):
        _normalise(token, script, starts)
        if tokens and _doubles_quote(tokens[-1], token, script):
            _join(tokens[-1], token, script)
        elif token.token_type is not TokenType.SEMICOLON:
            tokens.append(token)
        elif tokens:
            yield _statement(tokens, script, position_at(token))
            tokens = []
    if tokens:
        last = tokens[-1]
        yield _statement(tokens, script, _position(last.end + 1, starts))


def position_at(token: Token) -> Position:
    """Where a token begins."""
    return Position(token.line, token.col - (token.end - token.start))


def _tokenise(script: str, starts: list[int]) -> list[Token]:
    tokenizer = _Tokenizer(dialect=Spark())
    try:
        return tokenizer.tokenize(script)
    except TokenError as error:
        start = min(tokenizer._core._start, max(len(script) - 1, 0))  # the failed token; no public name
        raise _explain(script, start, _position(start, starts)) from error


def _explain(script: str, start: int, where: Position) -> ParseError:
    if script.startswith("/*", start):
        return ParseError("a comment that never ends", "close it with */", where)
    if script[start] in ("'", '"'):
        return ParseError("a string that never ends", f"close it with {script[start]}", where)
    if script[start] == "`":
        return ParseError("a quoted name that never ends", "close it with `", where)
    return ParseError(f"unreadable text {script[start : start + 20]!r}", "", where)


def _statement(tokens: list[Token], script: str, end: Position) -> TokenizedStatement:
    open_: list[Token] = []
    for token in tokens:
        if token.token_type in _CLOSES:
            open_.append(token)
            if len(open_) > MAX_DEPTH:
                what = f"brackets nested more than {MAX_DEPTH} deep"
                raise ParseError(what, "name the inner parts in a WITH", position_at(token))
        elif token.token_type in _CLOSING:
            if not open_:
                raise ParseError(f"{token.text!r} closes nothing", "remove it", position_at(token))
            opened = open_.pop()
            if _CLOSES[opened.token_type] is not token.token_type:
                what = f"{token.text!r} does not close the {opened.text!r} at {position_at(opened)}"
                raise ParseError(what, "", position_at(token))
    if open_:
        raise ParseError(f"{open_[-1].text!r} is never closed", "", position_at(open_[-1]))
    return TokenizedStatement(tuple(tokens), script, end)


def _doubles_quote(first: Token, second: Token, script: str) -> bool:
    """Whether 'it''s' was read as two strings; to Spark 4 it is one, with a quote in it."""
    strings = first.token_type is TokenType.STRING and second.token_type is TokenType.STRING
    return strings and first.end + 1 == second.start and script[first.end] == script[second.start]


def _join(first: Token, second: Token, script: str) -> None:
    first.text += script[second.start] + second.text
    first.col += second.end - first.end
    first.end = second.end


def _normalise(token: Token, script: str, starts: list[int]) -> None:
    """Undo what sqlglot does to a token: upper case on some keywords, the *last* line of a long string."""
    line, column = _position(token.start, starts)
    token.line, token.col = line, column + token.end - token.start
    if token.token_type not in _EXACT_TEXT:
        source = script[token.start : token.end + 1]
        if source.upper() == token.text:
            token.text = source


def _line_starts(script: str) -> list[int]:
    starts = [0]
    for index, char in enumerate(script):
        if char == "\n" or (char == "\r" and script[index + 1 : index + 2] != "\n"):
            starts.append(index + 1)
    return starts


def _position(offset: int, starts: list[int]) -> Position:
    line = bisect_right(starts, offset)
    return Position(line, offset - starts[line - 1] + 1)
