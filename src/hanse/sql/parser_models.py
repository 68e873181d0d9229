"""The statements about models, one function each, and the TRANSFORM clause."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from hanse.errors import ParseError
from hanse.sql.cursor import Cursor, is_word, matching, split_commas
from hanse.sql.nodes import (
    CreateMode,
    CreateModel,
    DescribeModel,
    DropModel,
    ExportModel,
    ImportModel,
    Option,
    ShowModels,
    TransformStep,
    UpdateModel,
)
from hanse.sql.options import parse_options
from hanse.sql.parser_query import parse_expression, parse_query

__all__ = [
    "accept_or_replace",
    "parse_clauses",
    "parse_create_model",
    "parse_describe_model",
    "parse_drop_model",
    "parse_export_model",
    "parse_import_model",
    "parse_show_models",
    "parse_source",
    "parse_transform",
    "parse_update_model",
]

_MODEL_NAME = "a model's name"


def parse_create_model(cursor: Cursor) -> CreateModel:
    """CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name [TRANSFORM (...)] [OPTIONS (...)] AS query."""
    position = cursor.position
    cursor.expect_words("CREATE")
    mode = accept_or_replace(cursor)
    cursor.expect_words("MODEL")
    if cursor.at_words("IF"):
        if mode == "or_replace":
            raise ParseError("IF NOT EXISTS with OR REPLACE", "keep one of them", cursor.position)
        cursor.expect_words("IF", "NOT", "EXISTS")
        mode = "if_not_exists"
    name = cursor.expect_name(_MODEL_NAME)
    transform, options = parse_clauses(cursor)
    query, query_text = parse_source(cursor)
    return CreateModel(
        position=position,
        text=cursor.text(0),
        name=name,
        mode=mode,
        transform=transform,
        options=options,
        query=query,
        query_text=query_text,
    )


def parse_update_model(cursor: Cursor) -> UpdateModel:
    """UPDATE MODEL name [TRANSFORM (...)] [OPTIONS (...)] AS query."""
    position = cursor.position
    cursor.expect_words("UPDATE", "MODEL")
    name = cursor.expect_name(_MODEL_NAME)
    transform, options = parse_clauses(cursor)
    query, query_text = parse_source(cursor)
    return UpdateModel(
        position=position,
        text=cursor.text(0),
        name=name,
        transform=transform,
        options=options,
        query=query,
        query_text=query_text,
    )


def parse_drop_model(cursor: Cursor) -> DropModel:
    """DROP MODEL [IF EXISTS] name [version]."""
    position = cursor.position
    cursor.expect_words("DROP", "MODEL")
    if_exists = cursor.accept_if_exists()
    name = cursor.expect_name(_MODEL_NAME)
    version = cursor.accept_version()
    cursor.expect_end()
    return DropModel(position=position, text=cursor.text(0), name=name, version=version, if_exists=if_exists)


def parse_show_models(cursor: Cursor) -> ShowModels:
    """SHOW MODELS."""
    position = cursor.position
    cursor.expect_words("SHOW", "MODELS")
    cursor.expect_end()
    return ShowModels(position=position, text=cursor.text(0))


def parse_describe_model(cursor: Cursor) -> DescribeModel:
    """DESCRIBE MODEL name [version]."""
    position = cursor.position
    cursor.index += 1  # DESCRIBE or DESC
    cursor.expect_words("MODEL")
    name = cursor.expect_name(_MODEL_NAME)
    version = cursor.accept_version()
    cursor.expect_end()
    return DescribeModel(position=position, text=cursor.text(0), name=name, version=version)


def parse_export_model(cursor: Cursor) -> ExportModel:
    """EXPORT MODEL name [version] TO 'file.json'."""
    position = cursor.position
    cursor.expect_words("EXPORT", "MODEL")
    name = cursor.expect_name(_MODEL_NAME)
    version = None if cursor.at_words("TO") or not cursor.token else cursor.expect_version()
    cursor.expect_words("TO")
    path = cursor.expect_string("a file's path in quotes")
    cursor.expect_end()
    return ExportModel(position=position, text=cursor.text(0), name=name, version=version, path=path)


def parse_import_model(cursor: Cursor) -> ImportModel:
    """IMPORT MODEL name FROM 'file or folder' [OPTIONS (...)]."""
    position = cursor.position
    cursor.expect_words("IMPORT", "MODEL")
    name = cursor.expect_name(_MODEL_NAME)
    cursor.expect_words("FROM")
    path = cursor.expect_string("a file's path in quotes")
    options = parse_options(cursor) if cursor.accept_words("OPTIONS") else ()
    cursor.expect_end()
    return ImportModel(position=position, text=cursor.text(0), name=name, path=path, options=options)


def parse_transform(cursor: Cursor) -> tuple[TransformStep, ...]:
    """Read ``(function(arguments) [AS] alias, ...)``.

    Raises:
        ParseError: not of this form, or a step without an alias.
    """
    opening = cursor.index
    cursor.expect(TokenType.L_PAREN, "( and the steps of TRANSFORM")
    inner = Cursor(cursor.statement, cursor.index, matching(cursor.tokens, opening))
    steps: list[TransformStep] = []
    while True:
        steps.append(_parse_step(inner))
        if not inner.accept(TokenType.COMMA):
            break
    inner.expect_end(f", or ) after the step {steps[-1].alias}")
    cursor.index = inner.end + 1
    return tuple(steps)


def accept_or_replace(cursor: Cursor) -> CreateMode:
    """[OR REPLACE] after CREATE."""
    return "or_replace" if cursor.accept_words("OR", "REPLACE") else "create"


def parse_source(cursor: Cursor) -> tuple[exp.Query, str]:
    """AS query, to the end of the statement: the query, and as it is written."""
    cursor.expect_words("AS")
    start = cursor.index
    return parse_query(cursor.statement, start, cursor.end), cursor.text(start)


def parse_clauses(cursor: Cursor, end: str = "AS") -> tuple[tuple[TransformStep, ...], tuple[Option, ...]]:
    """Read TRANSFORM (...) and OPTIONS (...), each at most once and in any order, up to the word ``end``."""
    transform: tuple[TransformStep, ...] | None = None
    options: tuple[Option, ...] | None = None
    while not cursor.at_words(end):
        position = cursor.position
        if cursor.accept_words("TRANSFORM"):
            if transform is not None:
                raise ParseError("a second TRANSFORM", "write its steps into the first one", position)
            transform = parse_transform(cursor)
        elif cursor.accept_words("OPTIONS"):
            if options is not None:
                raise ParseError("a second OPTIONS", "write its options into the first one", position)
            options = parse_options(cursor)
        else:
            missing = [w for w, c in (("TRANSFORM (...)", transform), ("OPTIONS (...)", options)) if c is None]
            cursor.fail(" or ".join([", ".join(missing), end]) if missing else end)
    return transform or (), options or ()


def _parse_step(inner: Cursor) -> TransformStep:
    token, position = inner.token, inner.position
    if token is None or not (is_word(token) or token.token_type is TokenType.IDENTIFIER):
        inner.fail("a transform, as in standard_scaler(x) AS x_scaled")
    inner.index += 1
    opening = inner.index
    inner.expect(TokenType.L_PAREN, f"( after {token.text}")
    closing = matching(inner.tokens, opening)
    items = split_commas(inner.tokens, opening + 1, closing)
    arguments = tuple(parse_expression(inner.statement, start, end) for start, end in items)
    inner.index = closing + 1
    had_as = inner.accept_words("AS")
    if not had_as and (inner.token is None or inner.at(TokenType.COMMA)):
        what = f"{token.text}(...) has no alias"
        raise ParseError(what, f"name its result: {token.text}(...) AS name", position)
    alias_position = inner.position
    alias = inner.expect_name(f"an alias for {token.text}(...)")
    if len(alias.parts) > 1:
        raise ParseError(f"alias {alias}", "an alias has no dot", alias_position)
    return TransformStep(token.text.lower(), arguments, alias.text, position, alias_position)
