"""Scripts to statements: splitting, dispatch, the statements about tables and the session."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.errors import ParseError, Position
from hanse.sql.nodes import (
    CreateTable,
    CreateView,
    DescribeModel,
    DescribeTable,
    DropModel,
    DropTable,
    DropView,
    Explain,
    ExportModel,
    ImportModel,
    Insert,
    Query,
    SetOption,
    ShowModels,
    ShowTables,
    Statement,
)
from hanse.sql.parser import STATEMENTS, parse

ROOT = Path(__file__).parents[2]
SEED = ROOT.parent / "shared" / "seed"
INVALID = ROOT / "tests" / "fixtures" / "invalid.sql"


def one(text: str) -> Statement:
    (statement,) = parse(text)
    return statement


def invalid_cases() -> list[tuple[str, str, str]]:
    cases = []
    for block in INVALID.read_text(encoding="utf-8").split("\n-- title: ")[1:]:
        title, error, statement = block.split("\n", 2)
        cases.append((title, error.removeprefix("-- error: "), statement.removesuffix("\n")))
    return cases


@pytest.mark.parametrize(("error", "statement"), [c[1:] for c in invalid_cases()], ids=[c[0] for c in invalid_cases()])
def test_invalid_statements_name_the_place_and_the_cure(error: str, statement: str) -> None:
    import hanse.errors

    kind, place, part = error.split(" ", 2)
    with pytest.raises(getattr(hanse.errors, kind)) as caught:
        parse(statement)
    line, column = map(int, place.split(":"))
    assert type(caught.value).__name__ == kind
    assert caught.value.position == Position(line, column)
    assert part in str(caught.value)


def test_the_fixture_has_enough_of_them() -> None:
    cases = invalid_cases()
    assert len(cases) >= 40
    assert len({title for title, _, _ in cases}) == len(cases)


SEED_KINDS = {
    "01_features": ["select"],
    "02_comfort_train": ["create_model"],
    "03_comfort_evaluate": ["select"],
    "04_comfort_predict": ["create_table", "select"],
    "05_sporty_train": ["create_model"],
    "06_sporty_evaluate": ["select"],
    "07_sporty_predict": ["create_table", "select"],
    "08_global_aggregates": ["select"],
    "09_global_train": ["create_model"],
    "10_global_evaluate_comfort": ["select"],
    "11_global_evaluate_sporty": ["select"],
    "12_global_predict_comfort": ["create_table", "select"],
    "13_global_predict_sporty": ["create_table", "select"],
}


@pytest.mark.skipif(not SEED.is_dir(), reason="the article's statements (../shared/seed) are not here")
@pytest.mark.parametrize("name", SEED_KINDS)
def test_every_statement_of_the_article_parses(name: str) -> None:
    script = (SEED / f"{name}.sql").read_text(encoding="utf-8")
    statements = parse(script)
    assert [statement.kind for statement in statements] == SEED_KINDS[name]
    for statement in statements:
        assert statement.text in script
        assert not statement.text.endswith(";")
        line = script.splitlines()[statement.position.line - 1]
        assert statement.text.startswith(line[statement.position.column - 1 :][:6])


@pytest.mark.parametrize("script", ["", " \n\t ", "-- only this", "/* and */ ; -- that\n;;", "\ufeff" * 0])
def test_a_script_of_nothing_has_no_statements(script: str) -> None:
    assert parse(script) == ()


def test_text_and_position_are_those_of_the_script() -> None:
    script = "-- first; not a statement\nSELECT ';' AS a /* ; */ ;\n\n  SHOW MODELS -- end ;\n;\r\nSET x = 1"
    first, second, third = parse(script)
    assert first.text == "SELECT ';' AS a"
    assert first.position == (2, 1)
    assert second.text == "SHOW MODELS"
    assert second.position == (4, 3)
    assert third.position == (6, 1)
    assert third.text == "SET x = 1"


def test_carriage_returns_and_wide_characters_count_as_people_count() -> None:
    with pytest.raises(ParseError) as caught:
        parse("SELECT '名前\r\né', 1\rFROM 名 x y")
    assert caught.value.position == (3, 10)


def test_queries() -> None:
    for text in (
        "SELECT 1",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "((SELECT 1))",
        "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
        "FROM t SELECT a",
        "TABLE t",
        "VALUES (1, 2), (3, 4)",
    ):
        statement = one(text)
        assert isinstance(statement, Query)
        assert statement.kind == "select"
        assert statement.text == text


def test_values_have_sparks_column_names() -> None:
    statement = one("VALUES (1, 'x')")
    assert isinstance(statement, Query)
    assert statement.tree.sql(dialect="spark") == "SELECT * FROM VALUES (1, 'x') AS _values_1(col1, col2)"


def test_a_keyword_as_a_column_keeps_its_case() -> None:
    statement = one("SELECT Date, Timestamp FROM t")
    assert isinstance(statement, Query)
    assert statement.tree.named_selects == ["Date", "Timestamp"]


def test_create_table() -> None:
    statement = one("create temp table if not exists a.`b c` as select 1 as x")
    assert isinstance(statement, CreateTable)
    assert (statement.kind, statement.name.parts) == ("create_table", ("a", "b c"))
    assert (statement.temporary, statement.if_not_exists, statement.or_replace) == (True, True, False)
    assert statement.query_text == "select 1 as x"
    assert statement.query is not None
    assert statement.query.named_selects == ["x"]


def test_create_table_keeps_its_clauses() -> None:
    statement = one(
        "CREATE OR REPLACE TABLE t USING parquet WITH (label = 'PROFILE', 'a.b' = 1)"
        " TRANSFORM (standard_scaler(x) xs) AS WITH a AS (SELECT 1 AS x) SELECT x FROM a"
    )
    assert isinstance(statement, CreateTable)
    assert statement.or_replace
    assert statement.using is not None
    assert statement.using.text == "parquet"
    assert {p.key: p.value for p in statement.properties} == {"LABEL": "PROFILE", "A.B": 1}
    assert [step.alias for step in statement.transform] == ["xs"]


def test_create_table_of_columns() -> None:
    statement = one("CREATE TABLE t (a INT, `b c` STRUCT<x: ARRAY<INT>, y: STRING> NOT NULL, d DECIMAL(10, 2))")
    assert isinstance(statement, CreateTable)
    assert statement.query is None
    assert [(c.name.text, c.nullable) for c in statement.columns] == [
        ("a", True),
        ("b c", False),
        ("d", True),
    ]
    assert [c.type.sql(dialect="duckdb") for c in statement.columns] == [
        "INT",
        "STRUCT(x INT[], y TEXT)",
        "DECIMAL(10, 2)",
    ]


def test_create_view_insert_and_drop() -> None:
    view = one("CREATE OR REPLACE TEMPORARY VIEW v (a, b) AS SELECT 1, 2")
    assert isinstance(view, CreateView)
    assert (view.or_replace, view.temporary, [c.text for c in view.columns]) == (True, True, ["a", "b"])
    insert = one("INSERT INTO TABLE t (a, b) VALUES (1, 2)")
    assert isinstance(insert, Insert)
    assert ([c.text for c in insert.columns], insert.query_text) == (["a", "b"], "VALUES (1, 2)")
    insert = one("INSERT INTO t (SELECT 1)")
    assert isinstance(insert, Insert)
    assert insert.columns == ()
    table = one("DROP TABLE IF EXISTS t")
    assert isinstance(table, DropTable)
    assert table.if_exists
    assert isinstance(one("DROP VIEW v"), DropView)


def test_show_describe_set_and_explain() -> None:
    assert isinstance(one("show tables"), ShowTables)
    assert isinstance(one("SHOW MODELS"), ShowModels)
    for text in ("DESCRIBE a.t", "DESC TABLE a.t", "DESCRIBE TABLE a.t"):
        described = one(text)
        assert isinstance(described, DescribeTable)
        assert described.name.text == "a.t"
    setting = one("SET Strict_Binding = true")
    assert isinstance(setting, SetOption)
    assert (setting.key, setting.value) == ("strict_binding", True)
    assert setting.value_position == (1, 22)
    explained = one("EXPLAIN SELECT 1")
    assert isinstance(explained, Explain)
    assert explained.statement.text == "SELECT 1"
    assert explained.statement.position == (1, 9)


def test_statements_about_models() -> None:
    drop = one("DROP MODEL IF EXISTS league.g 2")
    assert isinstance(drop, DropModel)
    assert (drop.name.parts, drop.version, drop.if_exists) == (("league", "g"), 2, True)
    describe = one("DESC MODEL `é m` $v")
    assert isinstance(describe, DescribeModel)
    assert describe.name.text == "é m"
    assert getattr(describe.version, "name", None) == "v"
    export = one("EXPORT MODEL m TO 'm.json'")
    assert isinstance(export, ExportModel)
    assert (export.version, export.path) == (None, "m.json")
    export = one("EXPORT MODEL m 3 TO '$file'")
    assert isinstance(export, ExportModel)
    assert export.version == 3
    assert getattr(export.path, "name", None) == "file"
    imported = one("IMPORT MODEL m FROM 'm.json'")
    assert isinstance(imported, ImportModel)
    assert (imported.path, imported.options) == ("m.json", ())
    imported = one("IMPORT MODEL m FROM 'folder' OPTIONS (features = array(a, 'b c'))")
    assert isinstance(imported, ImportModel)
    assert [(o.key, o.value) for o in imported.options] == [("FEATURES", ("a", "b c"))]


def test_every_create_has_a_kind_that_says_so() -> None:
    for form in STATEMENTS:
        if form.words[0] == "CREATE":
            assert form.words[1].lower() in {"federated", "model", "silo", "table", "view"}
    for text, kind in (
        ("CREATE MODEL m AS SELECT 1", "create_model"),
        ("CREATE TEMP TABLE t AS SELECT 1", "create_table"),
        ("CREATE TEMP VIEW t AS SELECT 1", "create_view"),
        ("CREATE SILO s OPTIONS (database = 'a')", "create_silo"),
        ("CREATE FEDERATED MODEL m OVER SILOS (s) AS SELECT a FROM t", "create_federated_model"),
    ):
        assert one(text).kind == kind
