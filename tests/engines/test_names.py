"""What columns are called, and that columns which share a name keep each their own value."""

from __future__ import annotations

import pytest

import hanse
from hanse import errors

TABLES = """
CREATE TABLE l AS SELECT * FROM VALUES (1, 'x'), (2, 'y') AS t(id, v);
CREATE TABLE r AS SELECT * FROM VALUES (2, 'z'), (3, 'w') AS t(id, v);
"""
FULL = [(None, None, 3, "w"), (1, "x", None, None), (2, "y", 2, "z")]


@pytest.mark.parametrize(
    ("sql", "columns", "rows"),
    [
        ("SELECT * FROM (SELECT 1 AS a, 2 AS A)", ["a", "A"], [(1, 2)]),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS a, 3 AS a_1)", ["a", "a", "a_1"], [(1, 2, 3)]),
        ("SELECT * FROM (SELECT 1 AS a, 2 AS a, 3 AS `a (2)`)", ["a", "a", "a (2)"], [(1, 2, 3)]),
        ("SELECT q.* FROM (SELECT * FROM (SELECT 1 AS a, 2 AS a)) AS q", ["a", "a"], [(1, 2)]),
        ("SELECT * EXCEPT (b) FROM (SELECT 1 AS a, 2 AS a, 3 AS b)", ["a", "a"], [(1, 2)]),
        ("SELECT * FROM VALUES (1, 2) AS t(a, A)", ["a", "A"], [(1, 2)]),
        ("SELECT * FROM r AS t(a, A) ORDER BY 1", ["a", "A"], [(2, "z"), (3, "w")]),
        ("SELECT t.* FROM (SELECT 1 AS x) LATERAL VIEW stack(1, 5, 6) t AS a, a", ["a", "a"], [(5, 6)]),
        ("SELECT * FROM l FULL JOIN r ON l.id = r.id ORDER BY 1, 3", ["id", "v", "id", "v"], FULL),
        (
            "WITH j AS (SELECT * FROM l FULL JOIN r ON l.id = r.id) SELECT * FROM j ORDER BY 1, 3",
            ["id", "v", "id", "v"],
            FULL,
        ),
        (
            "WITH j(a, b, a, b) AS (SELECT * FROM l FULL JOIN r ON l.id = r.id) SELECT k.* FROM j AS k ORDER BY 1, 3",
            ["a", "b", "a", "b"],
            FULL,
        ),
        ("SELECT * FROM l JOIN r USING (id) CROSS JOIN (SELECT 9 AS id)", ["id", "v", "v", "id"], [(2, "y", "z", 9)]),
        (
            "SELECT * FROM l FULL JOIN r USING (id) LEFT JOIN (SELECT 3 AS id, 7 AS w) USING (id) ORDER BY 1",
            ["id", "v", "v", "w"],
            [(1, "x", None, None), (2, "y", "z", None), (3, None, "w", 7)],
        ),
        ("(SELECT 1 AS a, 2 AS A, 3 AS a_1) ORDER BY a_1", ["a", "A", "a_1"], [(1, 2, 3)]),
        (
            "(SELECT 1 AS a, 2 AS A, 3 AS a_1 UNION ALL SELECT 4, 5, 0) ORDER BY a_1",
            ["a", "A", "a_1"],
            [(4, 5, 0), (1, 2, 3)],
        ),
        (
            "SELECT * FROM (SELECT 1 AS k, 2 AS k, 3 AS v, 'p' AS c) PIVOT (sum(v) FOR c IN ('p', 'p'))",
            ["k", "k", "p", "p"],
            [(1, 2, 3, 3)],
        ),
        (
            "SELECT * FROM (SELECT 1 AS k, 2 AS k, 3 AS v, 4 AS w) UNPIVOT (n FOR c IN (v, w)) ORDER BY 3",
            ["k", "k", "c", "n"],
            [(1, 2, "v", 3), (1, 2, "w", 4)],
        ),
    ],
)
def test_columns_that_share_a_name_keep_their_values(
    session: hanse.Session, sql: str, columns: list[str], rows: list[tuple[object, ...]]
) -> None:
    session.sql(TABLES)
    result = session.sql(sql)
    assert (result.columns, result.fetchall()) == (columns, rows)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM (SELECT 1 AS a, 2 AS A)",
        "SELECT q.A FROM (SELECT 1 AS a, 2 AS A) AS q",
        "WITH j AS (SELECT 1 AS a, 2 AS a) SELECT a FROM j",
        "SELECT a FROM VALUES (1, 2) AS t(a, A)",
    ],
)
def test_naming_one_of_them_is_ambiguous(session: hanse.Session, sql: str) -> None:
    with pytest.raises(errors.BindError, match=r"(?i)ambiguous column .*a at line 1.* has 2 columns of that name"):
        session.sql(sql)


@pytest.mark.parametrize("side", ["", "FULL"])
def test_a_name_of_using_may_be_another_relations_too(session: hanse.Session, side: str) -> None:
    session.sql(TABLES)
    with pytest.raises(
        errors.BindError, match=r"ambiguous column id at line 1, column 8: write c.id or (l|l.id or r).id"
    ):
        session.sql(f"SELECT id FROM l {side} JOIN r USING (id) CROSS JOIN (SELECT 9 AS id) AS c")


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT count(*) -- customers\nFROM l", ["count(*)"]),
        ("SELECT id /* a */ + /* b */ 1 /* c */, /* d */ v FROM l", ["id + 1", "v"]),
        ("SELECT CASE WHEN id > 1 /* large */ THEN 1 END FROM l", ["CASE WHEN id > 1 THEN 1 END"]),
        (
            "SELECT * FROM l PIVOT (sum(id /* n */) AS s, max(id /* n */) FOR v IN ('x' /* y */))",
            ["x_s", "x_max(id)"],
        ),
    ],
)
def test_a_comment_is_no_part_of_a_name(session: hanse.Session, sql: str, columns: list[str]) -> None:
    session.sql(TABLES)
    assert session.sql(sql).columns == columns


def test_a_comment_is_no_part_of_a_features_name(session: hanse.Session) -> None:
    session.sql(
        "CREATE MODEL m OPTIONS (MODEL_TYPE = 'kmeans', NUM_CLUSTERS = 2) AS\n"
        "SELECT id + 1 -- the number\nFROM VALUES (1), (2), (8), (9) AS t(id)"
    )
    assert session.registry.load("m")[1].fields == ("id + 1",)


def test_an_empty_text_without_a_name(session: hanse.Session) -> None:
    result = session.sql("SELECT '', 'x', $x", {"x": ""})
    assert (result.columns, result.fetchall()) == (["''", "x", "''"], [("", "x", "")])
    session.sql("CREATE TABLE t AS SELECT * FROM (SELECT 'x' AS a, '')")
    assert session.engine.relation_columns(["t"]).keys() == {"a", "''"}
    session.sql("INSERT INTO t SELECT 'y', ''")
    assert session.sql("SELECT * FROM t ORDER BY a").fetchall() == [("x", ""), ("y", "")]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "CREATE TABLE made AS SELECT 1 AS a, 2 AS A",
            "the SELECT gives two columns called a and A, which are one name",
        ),
        (
            "CREATE TABLE made AS SELECT 1 AS a, 2 AS a",
            "the SELECT gives two columns called a: give each a name of its",
        ),
        (
            "CREATE VIEW made AS SELECT 1 AS a, 2 AS A",
            "the SELECT gives two columns called a and A, which are one name",
        ),
        (
            "CREATE VIEW made(x, x) AS SELECT 1 AS a, 2 AS b",
            "view made has two columns called x at line 1, column 21: ",
        ),
        (
            "CREATE VIEW made(x, X) AS SELECT 1 AS a, 2 AS b",
            "view made has two columns called x and X at line 1, column",
        ),
    ],
)
def test_a_table_has_each_name_once(session: hanse.Session, sql: str, message: str) -> None:
    with pytest.raises(errors.HanseError) as raised:
        session.sql(sql)
    assert message in str(raised.value)
    assert session.engine.kind(["made"]) is None


@pytest.mark.parametrize("kind", ["TABLE", "TEMP TABLE"])
def test_insert_goes_by_place_not_by_name(session: hanse.Session, kind: str) -> None:
    session.sql(f"CREATE {kind} t AS SELECT 'p' AS a, 'q' AS b")
    session.sql("INSERT INTO t SELECT 'x', 'x'; INSERT INTO t SELECT 'y', 'Y'; INSERT INTO t (b, a) SELECT 'z', 'Z'")
    with pytest.raises(errors.BindError, match="INSERT gives 3 columns, t takes 2"):
        session.sql("INSERT INTO t SELECT 1, 1, 1")
    assert session.sql("SELECT * FROM t ORDER BY a, b").fetchall() == [("Z", "z"), ("p", "q"), ("x", "x"), ("y", "Y")]
