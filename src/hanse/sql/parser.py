"""``parse``: a script in, its statements out. Every statement that exists stands in one visible tuple."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import msgspec

from hanse.errors import ParseError
from hanse.sql.cursor import Cursor, describe
from hanse.sql.lexer import statements
from hanse.sql.nodes import Statement
from hanse.sql.parser_federation import (
    parse_create_federated_model,
    parse_create_silo,
    parse_drop_silo,
    parse_explain_egress,
    parse_resume_model,
    parse_show_egress,
    parse_show_silos,
)
from hanse.sql.parser_models import (
    parse_create_model,
    parse_describe_model,
    parse_drop_model,
    parse_export_model,
    parse_import_model,
    parse_show_models,
    parse_update_model,
)
from hanse.sql.parser_tables import (
    parse_create_table,
    parse_create_view,
    parse_describe_table,
    parse_drop_table,
    parse_drop_view,
    parse_explain,
    parse_insert,
    parse_query_statement,
    parse_set,
    parse_show_tables,
)

__all__ = ["STATEMENTS", "StatementForm", "parse"]


class StatementForm(msgspec.Struct, frozen=True):
    """A statement's leading words (without OR REPLACE and TEMPORARY) and the function that reads it."""

    words: tuple[str, ...]
    parse: Callable[[Cursor], Statement]

    def __str__(self) -> str:
        return " ".join(self.words)


STATEMENTS: tuple[StatementForm, ...] = (  # the first that fits is taken: the longer words stand before the shorter
    StatementForm(("SELECT",), parse_query_statement),
    StatementForm(("WITH",), parse_query_statement),
    StatementForm(("FROM",), parse_query_statement),
    StatementForm(("VALUES",), parse_query_statement),
    StatementForm(("TABLE",), parse_query_statement),
    StatementForm(("(",), parse_query_statement),
    StatementForm(("CREATE", "MODEL"), parse_create_model),
    StatementForm(("CREATE", "TABLE"), parse_create_table),
    StatementForm(("CREATE", "VIEW"), parse_create_view),
    StatementForm(("UPDATE", "MODEL"), parse_update_model),
    StatementForm(("DROP", "MODEL"), parse_drop_model),
    StatementForm(("DROP", "TABLE"), parse_drop_table),
    StatementForm(("DROP", "VIEW"), parse_drop_view),
    StatementForm(("SHOW", "MODELS"), parse_show_models),
    StatementForm(("SHOW", "TABLES"), parse_show_tables),
    StatementForm(("DESCRIBE", "MODEL"), parse_describe_model),
    StatementForm(("DESC", "MODEL"), parse_describe_model),
    StatementForm(("DESCRIBE",), parse_describe_table),
    StatementForm(("DESC",), parse_describe_table),
    StatementForm(("EXPORT", "MODEL"), parse_export_model),
    StatementForm(("IMPORT", "MODEL"), parse_import_model),
    StatementForm(("INSERT",), parse_insert),
    StatementForm(("SET",), parse_set),
    StatementForm(("EXPLAIN", "EGRESS"), parse_explain_egress),
    StatementForm(("EXPLAIN",), parse_explain),
    StatementForm(("CREATE", "SILO"), parse_create_silo),
    StatementForm(("SHOW", "SILOS"), parse_show_silos),
    StatementForm(("DROP", "SILO"), parse_drop_silo),
    StatementForm(("CREATE", "FEDERATED", "MODEL"), parse_create_federated_model),
    StatementForm(("SHOW", "EGRESS"), parse_show_egress),
    StatementForm(("RESUME", "MODEL"), parse_resume_model),
)
"""Every statement of Hanse."""

_MODIFIERS = ("OR", "REPLACE", "TEMP", "TEMPORARY")


def parse(text: str) -> tuple[Statement, ...]:
    """Parse a script: statements separated by ``;``, with comments.

    >>> [statement.kind for statement in parse("SET strict_binding = true; -- then\\nSHOW MODELS")]
    ['set', 'show_models']

    Raises:
        ParseError: the text is not in the grammar; with line and column.
        BindError: a table function, or an option of one, that does not exist.
        UnsupportedError: a clause that is understood but has no meaning here.
    """
    return tuple(_parse_statement(Cursor(statement)) for statement in statements(text))


def _parse_statement(cursor: Cursor) -> Statement:
    words = _leading_words(cursor)
    for form in STATEMENTS:
        if words[: len(form.words)] == form.words:
            return form.parse(cursor)
    raise _refusal(cursor, words)


def _leading_words(cursor: Cursor) -> tuple[str, ...]:
    words = [token.text.upper() for token in cursor.tokens[:8]]
    if words[0] == "CREATE":
        rest = words[1:]
        while rest and rest[0] in _MODIFIERS:
            rest = rest[1:]
        return ("CREATE", *rest)
    return tuple(words)


def _refusal(cursor: Cursor, words: tuple[str, ...]) -> ParseError:
    same_verb = [str(form) for form in STATEMENTS if form.words[0] == words[0]]
    if same_verb:
        while cursor.token and (cursor.index == 0 or cursor.token.text.upper() in _MODIFIERS):
            cursor.index += 1
        cursor.fail(" or ".join(same_verb))
    known = dict.fromkeys(str(form) for form in STATEMENTS if form.words[0] not in ("(", "DESC"))
    close = difflib.get_close_matches(words[0], [name.split()[0] for name in known], n=1, cutoff=0.7)
    cure = f"did you mean {close[0]}? " if close else ""
    return ParseError(
        f"found {describe(cursor.tokens[0])}",
        f"{cure}statements begin with {', '.join(known)}",
        cursor.position,
    )
