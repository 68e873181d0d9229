"""The statements about silos and federated models, one function each."""

from __future__ import annotations

from sqlglot.tokenizer_core import TokenType

from hanse.errors import ParseError
from hanse.sql.cursor import Cursor
from hanse.sql.nodes import (
    CreateFederatedModel,
    CreateSilo,
    DropSilo,
    ExplainEgress,
    Name,
    ResumeModel,
    ShowEgress,
    ShowSilos,
)
from hanse.sql.options import parse_options
from hanse.sql.parser_models import accept_or_replace, parse_clauses, parse_source

__all__ = [
    "parse_create_federated_model",
    "parse_create_silo",
    "parse_drop_silo",
    "parse_explain_egress",
    "parse_resume_model",
    "parse_show_egress",
    "parse_show_silos",
]

_SILO = "a silo's name"


def parse_create_silo(cursor: Cursor) -> CreateSilo:
    """CREATE SILO name OPTIONS (...)."""
    position = cursor.position
    cursor.expect_words("CREATE", "SILO")
    name = cursor.expect_name(_SILO)
    cursor.expect_words("OPTIONS")
    options = parse_options(cursor)
    cursor.expect_end()
    return CreateSilo(position=position, text=cursor.text(0), name=name, options=options)


def parse_show_silos(cursor: Cursor) -> ShowSilos:
    """SHOW SILOS."""
    position = cursor.position
    cursor.expect_words("SHOW", "SILOS")
    cursor.expect_end()
    return ShowSilos(position=position, text=cursor.text(0))


def parse_drop_silo(cursor: Cursor) -> DropSilo:
    """DROP SILO [IF EXISTS] name."""
    position = cursor.position
    cursor.expect_words("DROP", "SILO")
    if_exists = cursor.accept_if_exists()
    name = cursor.expect_name(_SILO)
    cursor.expect_end()
    return DropSilo(position=position, text=cursor.text(0), name=name, if_exists=if_exists)


def parse_create_federated_model(cursor: Cursor) -> CreateFederatedModel:
    """CREATE [OR REPLACE] FEDERATED MODEL name [TRANSFORM ...] [OPTIONS ...] OVER SILOS (a, b) AS query."""
    position = cursor.position
    cursor.expect_words("CREATE")
    mode = accept_or_replace(cursor)
    cursor.expect_words("FEDERATED", "MODEL")
    name = cursor.expect_name("a model's name")
    transform, options = parse_clauses(cursor, "OVER")
    cursor.expect_words("OVER", "SILOS")
    silos = _silos(cursor)
    query, query_text = parse_source(cursor)
    return CreateFederatedModel(
        position=position,
        text=cursor.text(0),
        name=name,
        mode=mode,
        transform=transform,
        options=options,
        silos=silos,
        query=query,
        query_text=query_text,
    )


def _silos(cursor: Cursor) -> tuple[Name, ...]:
    cursor.expect(TokenType.L_PAREN, "( and the silos' names")
    silos: list[Name] = []
    while True:
        name = cursor.expect_name(_SILO)
        if name.text.lower() in {s.text.lower() for s in silos}:
            raise ParseError(f"silo {name} given twice", "name each silo once", name.position)
        silos.append(name)
        if not cursor.accept(TokenType.COMMA):
            break
    cursor.expect(TokenType.R_PAREN, ") after the silos' names")
    return tuple(silos)


def parse_explain_egress(cursor: Cursor) -> ExplainEgress:
    """EXPLAIN EGRESS CREATE FEDERATED MODEL ..."""
    position = cursor.position
    cursor.expect_words("EXPLAIN", "EGRESS")
    if not cursor.at_words("CREATE"):
        cursor.fail("CREATE FEDERATED MODEL ..., which is what makes numbers leave a silo")
    statement = parse_create_federated_model(cursor)
    return ExplainEgress(position=position, text=cursor.text(0), statement=statement)


def parse_show_egress(cursor: Cursor) -> ShowEgress:
    """SHOW EGRESS [FOR MODEL name]."""
    position = cursor.position
    cursor.expect_words("SHOW", "EGRESS")
    model = None
    if cursor.accept_words("FOR"):
        cursor.expect_words("MODEL")
        model = cursor.expect_name("a model's name")
    cursor.expect_end()
    return ShowEgress(position=position, text=cursor.text(0), model=model)


def parse_resume_model(cursor: Cursor) -> ResumeModel:
    """RESUME MODEL name."""
    position = cursor.position
    cursor.expect_words("RESUME", "MODEL")
    name = cursor.expect_name("a model's name")
    cursor.expect_end()
    return ResumeModel(position=position, text=cursor.text(0), name=name)
