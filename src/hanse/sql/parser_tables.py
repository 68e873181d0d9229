"""The statements about tables, views and the session, one function each."""

from __future__ import annotations

from sqlglot.tokenizer_core import TokenType

from hanse.errors import ParseError, UnsupportedError
from hanse.sql.cursor import Cursor, matching, split_commas
from hanse.sql.nodes import (
    ColumnDefinition,
    CreateTable,
    CreateView,
    DescribeTable,
    DropTable,
    DropView,
    Explain,
    Insert,
    Name,
    Option,
    Query,
    SetOption,
    ShowTables,
    TransformStep,
)
from hanse.sql.options import parse_assignment, parse_properties
from hanse.sql.parser_models import parse_transform
from hanse.sql.parser_query import parse_query, parse_type

__all__ = [
    "parse_create_table",
    "parse_create_view",
    "parse_describe_table",
    "parse_drop_table",
    "parse_drop_view",
    "parse_explain",
    "parse_insert",
    "parse_query_statement",
    "parse_set",
    "parse_show_tables",
]

_TABLE_NAME = "a table's name"
_VIEW_NAME = "a view's name"
_UNSUPPORTED_CLAUSES = ("PARTITIONED", "CLUSTERED", "COMMENT", "LOCATION", "STORED", "ROW", "LIKE")


def parse_query_statement(cursor: Cursor) -> Query:
    """SELECT, WITH, VALUES, TABLE, or a query in parentheses."""
    start, position = cursor.index, cursor.position
    tree = parse_query(cursor.statement, start, cursor.end)
    return Query(position=position, text=cursor.text(start), tree=tree)


def parse_create_table(cursor: Cursor) -> CreateTable:
    """CREATE [OR REPLACE] [TEMP] TABLE [IF NOT EXISTS] name [clauses] AS query, or with columns."""
    position = cursor.position
    or_replace, temporary = _parse_create(cursor, "TABLE")
    if_not_exists = _parse_if_not_exists(cursor, or_replace)
    name = cursor.expect_name(_TABLE_NAME)
    columns = _parse_columns(cursor) if cursor.at(TokenType.L_PAREN) else ()
    using, properties, transform = _parse_table_clauses(cursor)
    start: int | None = None
    if not columns:
        cursor.expect_words("AS")
        start = cursor.index
    elif cursor.at_words("AS"):
        raise ParseError("columns and a query", "keep one: a query names its own columns", cursor.position)
    elif transform:
        raise ParseError("TRANSFORM without a query", "write TRANSFORM (...) AS SELECT ...", position)
    else:
        cursor.expect_end("AS and a query, or the end of the statement")
    return CreateTable(
        position=position,
        text=cursor.text(0),
        name=name,
        temporary=temporary,
        if_not_exists=if_not_exists,
        or_replace=or_replace,
        using=using,
        properties=properties,
        transform=transform,
        columns=columns,
        query=None if start is None else parse_query(cursor.statement, start, cursor.end),
        query_text="" if start is None else cursor.text(start),
    )


def parse_create_view(cursor: Cursor) -> CreateView:
    """CREATE [OR REPLACE] [TEMP] VIEW [IF NOT EXISTS] name [(columns)] AS query."""
    position = cursor.position
    or_replace, temporary = _parse_create(cursor, "VIEW")
    if_not_exists = _parse_if_not_exists(cursor, or_replace)
    name = cursor.expect_name(_VIEW_NAME)
    columns = _parse_names(cursor) if cursor.at(TokenType.L_PAREN) else ()
    cursor.expect_words("AS")
    start = cursor.index
    return CreateView(
        position=position,
        text=cursor.text(0),
        name=name,
        or_replace=or_replace,
        if_not_exists=if_not_exists,
        temporary=temporary,
        columns=columns,
        query=parse_query(cursor.statement, start, cursor.end),
        query_text=cursor.text(start),
    )


def parse_insert(cursor: Cursor) -> Insert:
    """INSERT INTO [TABLE] name [(columns)] query."""
    position = cursor.position
    cursor.expect_words("INSERT")
    if cursor.at_words("OVERWRITE"):
        raise UnsupportedError("INSERT OVERWRITE", "use CREATE OR REPLACE TABLE ... AS", cursor.position)
    cursor.expect_words("INTO")
    cursor.accept_words("TABLE")
    name = cursor.expect_name(_TABLE_NAME)
    columns = _parse_names(cursor) if _at_column_list(cursor) else ()
    start = cursor.index
    return Insert(
        position=position,
        text=cursor.text(0),
        name=name,
        columns=columns,
        query=parse_query(cursor.statement, start, cursor.end),
        query_text=cursor.text(start),
    )


def parse_drop_table(cursor: Cursor) -> DropTable:
    """DROP TABLE [IF EXISTS] name."""
    position = cursor.position
    cursor.expect_words("DROP", "TABLE")
    if_exists = cursor.accept_if_exists()
    name = cursor.expect_name(_TABLE_NAME)
    cursor.expect_end()
    return DropTable(position=position, text=cursor.text(0), name=name, if_exists=if_exists)


def parse_drop_view(cursor: Cursor) -> DropView:
    """DROP VIEW [IF EXISTS] name."""
    position = cursor.position
    cursor.expect_words("DROP", "VIEW")
    if_exists = cursor.accept_if_exists()
    name = cursor.expect_name(_VIEW_NAME)
    cursor.expect_end()
    return DropView(position=position, text=cursor.text(0), name=name, if_exists=if_exists)


def parse_show_tables(cursor: Cursor) -> ShowTables:
    """SHOW TABLES."""
    position = cursor.position
    cursor.expect_words("SHOW", "TABLES")
    cursor.expect_end()
    return ShowTables(position=position, text=cursor.text(0))


def parse_describe_table(cursor: Cursor) -> DescribeTable:
    """DESCRIBE [TABLE] name."""
    position = cursor.position
    cursor.index += 1  # DESCRIBE or DESC
    if cursor.at_words("TABLE") and cursor.index + 1 < cursor.end:
        cursor.index += 1
    name = cursor.expect_name(_TABLE_NAME)
    cursor.expect_end()
    return DescribeTable(position=position, text=cursor.text(0), name=name)


def parse_set(cursor: Cursor) -> SetOption:
    """SET key = value."""
    position = cursor.position
    cursor.expect_words("SET")
    option = parse_assignment(cursor, "a setting's name", dotted=True)
    cursor.expect_end()
    return SetOption(
        position=position,
        text=cursor.text(0),
        key=option.key.lower(),
        value=option.value,
        key_position=option.position,
        value_position=option.value_position,
    )


def parse_explain(cursor: Cursor) -> Explain:
    """EXPLAIN query."""
    position = cursor.position
    cursor.expect_words("EXPLAIN")
    return Explain(position=position, text=cursor.text(0), statement=parse_query_statement(cursor))


def _parse_create(cursor: Cursor, kind: str) -> tuple[bool, bool]:
    cursor.expect_words("CREATE")
    or_replace = cursor.accept_words("OR", "REPLACE")
    temporary = cursor.accept_words("TEMP") or cursor.accept_words("TEMPORARY")
    cursor.expect_words(kind)
    return or_replace, temporary


def _parse_if_not_exists(cursor: Cursor, or_replace: bool) -> bool:
    if not cursor.at_words("IF", "NOT"):
        return False
    if or_replace:
        raise ParseError("IF NOT EXISTS with OR REPLACE", "keep one of them", cursor.position)
    cursor.expect_words("IF", "NOT", "EXISTS")
    return True


def _parse_table_clauses(
    cursor: Cursor,
) -> tuple[Name | None, tuple[Option, ...], tuple[TransformStep, ...]]:
    using: Name | None = None
    properties: tuple[Option, ...] | None = None
    transform: tuple[TransformStep, ...] | None = None
    while cursor.token and not cursor.at_words("AS"):
        position = cursor.position
        if using is None and cursor.accept_words("USING"):
            using = cursor.expect_name("a format's name")
        elif properties is None and any(map(cursor.accept_words, ("WITH", "TBLPROPERTIES", "OPTIONS"))):
            properties = parse_properties(cursor)
        elif transform is None and cursor.accept_words("TRANSFORM"):
            transform = parse_transform(cursor)
        elif (clause := cursor.tokens[cursor.index].text.upper()).startswith(_UNSUPPORTED_CLAUSES):
            raise UnsupportedError(f"{clause} in CREATE TABLE", "leave it out", position)
        else:
            cursor.fail("USING, WITH (...), TRANSFORM (...) (each once) or AS")
    return using, properties or (), transform or ()


def _parse_columns(cursor: Cursor) -> tuple[ColumnDefinition, ...]:
    opening = cursor.index
    closing = matching(cursor.tokens, opening)
    columns: list[ColumnDefinition] = []
    for start, end in _split_columns(cursor, opening + 1, closing):
        item = Cursor(cursor.statement, start, end)
        name = item.expect_name("a column's name")
        stop = end
        nullable = True
        tail = Cursor(cursor.statement, max(start, end - 2), end)
        if tail.at_words("NOT", "NULL"):
            stop, nullable = end - 2, False
        columns.append(ColumnDefinition(name, parse_type(cursor.statement, item.index, stop), nullable))
    if not columns:
        cursor.index = closing
        cursor.fail("a column's name and type")
    cursor.index = closing + 1
    return tuple(columns)


def _split_columns(cursor: Cursor, start: int, end: int) -> list[tuple[int, int]]:
    """Split at commas outside of brackets and of ``<...>``, so that STRUCT<a: INT, b: INT> stays whole."""
    items: list[tuple[int, int]] = []
    depth, begin = 0, start
    for first, last in split_commas(cursor.tokens, start, end):
        kinds = [token.token_type for token in cursor.tokens[first:last]]
        depth += kinds.count(TokenType.LT) - kinds.count(TokenType.GT)
        if depth <= 0:
            items.append((begin, last))
            begin = last + 1
    return items if depth <= 0 else [*items, (begin, end)]


def _parse_names(cursor: Cursor) -> tuple[Name, ...]:
    opening = cursor.index
    closing = matching(cursor.tokens, opening)
    names: list[Name] = []
    inner = Cursor(cursor.statement, opening + 1, closing)
    while True:
        names.append(inner.expect_name("a column's name"))
        if not inner.accept(TokenType.COMMA):
            break
    inner.expect_end(", or ) after the column's name")
    cursor.index = closing + 1
    return tuple(names)


def _at_column_list(cursor: Cursor) -> bool:
    """Whether ``(`` opens a list of columns and not a query."""
    if not cursor.at(TokenType.L_PAREN) or cursor.index + 1 >= cursor.end:
        return False
    following = cursor.tokens[cursor.index + 1].token_type
    return following not in (
        TokenType.SELECT,
        TokenType.WITH,
        TokenType.L_PAREN,
        TokenType.VALUES,
        TokenType.FROM,
    )
