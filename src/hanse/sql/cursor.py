"""A reader's place among the tokens of one statement, with the verbs that every statement parser uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from hanse.errors import ParseError, Position
from hanse.sql.lexer import TokenizedStatement, position_at
from hanse.sql.nodes import Name, Version

__all__ = ["Cursor", "describe", "is_word", "matching", "parameter_name", "split_commas"]

_STRINGS = frozenset({TokenType.STRING, TokenType.RAW_STRING})
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
_RESERVED = frozenset({"AS", "FROM", "OPTIONS", "SELECT", "TO", "TRANSFORM", "VALUES", "WITH"})
_SHOWN_LENGTH = 40


def is_word(token: Token) -> bool:
    """Whether a token is an unquoted word: a keyword or a plain name."""
    quoted = token.token_type in _STRINGS or token.token_type is TokenType.IDENTIFIER
    return not quoted and token.text.replace("$", "_").isidentifier()


def describe(token: Token) -> str:
    """A token as an error shows it."""
    quote = "'" if token.token_type in _STRINGS else "`" if token.token_type is TokenType.IDENTIFIER else ""
    text = token.text if len(token.text) <= _SHOWN_LENGTH else token.text[:_SHOWN_LENGTH] + "..."
    return f"{quote}{text}{quote}" if quote else repr(text)


def matching(tokens: Sequence[Token], opening: int) -> int:
    """The index of the bracket that closes the one at ``opening``; the lexer made sure that there is one."""
    depth = 0
    for index in range(opening, len(tokens)):
        kind = tokens[index].token_type
        depth += (kind in _OPENING) - (kind in _CLOSING)
        if not depth:
            return index
    raise ParseError(f"{tokens[opening].text!r} is never closed", "", position_at(tokens[opening]))


def split_commas(tokens: Sequence[Token], start: int, end: int) -> list[tuple[int, int]]:
    """Where each item of a list stands: split at the commas outside of inner brackets."""
    if start == end:
        return []
    items, depth, begin = [], 0, start
    for index in range(start, end):
        kind = tokens[index].token_type
        depth += (kind in _OPENING) - (kind in _CLOSING)
        if kind is TokenType.COMMA and not depth:
            items.append((begin, index))
            begin = index + 1
    return [*items, (begin, end)]


def parameter_name(text: str) -> str | None:
    """The name, where a string is exactly a quoted parameter: ``'$name'``."""
    return text[1:] if text[:1] == "$" and text[1:].isidentifier() else None


class Cursor:
    """Reads ``tokens[index:end]``. Every ``expect_*`` reads on or raises, naming what was found.

    Args:
        statement: the tokens and the script that they come from.
        index: the first token to read.
        end: where to stop; by default the end of the statement.
    """

    def __init__(self, statement: TokenizedStatement, index: int = 0, end: int | None = None) -> None:
        self.statement = statement
        self.tokens = statement.tokens
        self.index = index
        self.end = len(statement.tokens) if end is None else end

    @property
    def token(self) -> Token | None:
        """The token to be read next; None at the end."""
        return self.tokens[self.index] if self.index < self.end else None

    @property
    def position(self) -> Position:
        """Where the next token stands, or where the statement ends."""
        if self.index < len(self.tokens):
            return position_at(self.tokens[self.index])
        return self.statement.end

    def fail(self, expected: str) -> NoReturn:
        """Raise a ParseError that names the next token and what should have stood there."""
        found = describe(self.token) if self.token else self._describe_end()
        raise ParseError(f"found {found}", f"expected {expected}", self.position)

    def text(self, start: int, end: int | None = None) -> str:
        """The source from one token up to (not including) another."""
        last = self.tokens[(self.end if end is None else end) - 1]
        return self.statement.script[self.tokens[start].start : last.end + 1]

    def at(self, kind: TokenType) -> bool:
        """Whether the next token is of this kind."""
        return self.token is not None and self.token.token_type is kind

    def at_words(self, *words: str) -> bool:
        """Whether the next tokens are these words (given in upper case)."""
        if self.index + len(words) > self.end:
            return False
        upcoming = self.tokens[self.index : self.index + len(words)]
        return all(is_word(t) and t.text.upper() == word for t, word in zip(upcoming, words, strict=True))

    def accept(self, kind: TokenType) -> Token | None:
        """Read a token of this kind, if it comes next."""
        token = self.token
        if token is None or token.token_type is not kind:
            return None
        self.index += 1
        return token

    def accept_words(self, *words: str) -> bool:
        """Read these words, if they come next."""
        found = self.at_words(*words)
        self.index += len(words) * found
        return found

    def expect(self, kind: TokenType, expected: str) -> Token:
        """Read a token of this kind."""
        token = self.accept(kind)
        if token is None:
            self.fail(expected)
        return token

    def expect_words(self, *words: str) -> None:
        """Read these words."""
        for word in words:
            if not self.accept_words(word):
                self.fail(word)

    def accept_if_exists(self) -> bool:
        """Read IF EXISTS, if IF comes next."""
        if not self.at_words("IF"):
            return False
        self.expect_words("IF", "EXISTS")
        return True

    def expect_end(self, expected: str = "the end of the statement") -> None:
        """Make sure that nothing is left."""
        if self.index < self.end:
            self.fail(expected)

    def expect_name(self, expected: str) -> Name:
        """Read a name: plain, in backquotes, or dotted."""
        position = self.position
        parts = [self._name_part(expected)]
        while self.accept(TokenType.DOT):
            parts.append(self._name_part(f"{expected} after the dot"))
        return Name(".".join(parts), position, tuple(parts))

    def _name_part(self, expected: str) -> str:
        token = self.token
        if token is None:
            self.fail(expected)
        if token.token_type is TokenType.IDENTIFIER:
            if not token.text.strip():
                raise ParseError("an empty name", f"expected {expected}", self.position)
        elif token.token_type in _STRINGS:
            self.fail(f"{expected}, plain or in backquotes")
        elif not is_word(token) or token.text.upper() in _RESERVED:
            self.fail(f"{expected} (a name that is a keyword stands in backquotes)" if is_word(token) else expected)
        self.index += 1
        return token.text

    def expect_string(self, expected: str) -> str | exp.Parameter:
        """Read a string, or a parameter that stands for one."""
        if (parameter := self.accept_parameter()) is not None:
            return parameter
        token = self.token
        if token is None or token.token_type not in _STRINGS:
            self.fail(expected)
        self.index += 1
        return token.text

    def accept_parameter(self) -> exp.Parameter | None:
        """Read ``$name``, ``${name}`` or ``'$name'``, if one comes next."""
        token = self.token
        if token is None:
            return None
        if token.token_type is TokenType.STRING and (name := parameter_name(token.text)):
            self.index += 1
            return _parameter(name, token)
        if token.token_type is not TokenType.PARAMETER or token.text != "$":
            return None
        self.index += 1
        braced = self.accept(TokenType.L_BRACE)
        named = self.token
        adjacent = named is not None and named.start == self.tokens[self.index - 1].end + 1
        if named is None or not is_word(named) or not adjacent:
            self.fail("a parameter's name right after $")
        self.index += 1
        if braced:
            self.expect(TokenType.R_BRACE, "} after the parameter's name")
        return _parameter(named.text, token)

    def accept_version(self) -> Version | None:
        """Read a model's version, if anything is left."""
        return self.expect_version() if self.token else None

    def expect_version(self) -> Version:
        """Read a version: an integer, 1 or more, or a parameter."""
        if (parameter := self.accept_parameter()) is not None:
            return parameter
        start, position = self.index, self.position
        negative = self.accept(TokenType.DASH) is not None
        token = self.accept(TokenType.NUMBER)
        if token is None:
            self.index = start
            self.fail("a version: 1 or more, or a $parameter")
        suffixed = self.at(TokenType.DCOLON)
        if negative or suffixed or not token.text.isascii() or not token.text.isdigit() or not int(token.text[:18]):
            shown = "-" * negative + self.statement.script[token.start : token.end + 1][:_SHOWN_LENGTH]
            raise ParseError(f"version {shown}", "need a whole number, 1 or more", position)
        if len(token.text) > 18:  # beyond a BIGINT
            raise ParseError(f"version {token.text[:18]}...", "need a number below 10^18", position)
        return int(token.text)

    def _describe_end(self) -> str:
        return describe(self.tokens[self.end]) if self.end < len(self.tokens) else "the end of the statement"


def _parameter(name: str, token: Token) -> exp.Parameter:
    return exp.Parameter(this=exp.Var(this=name)).update_positions(token)
