"""Queries: table functions anywhere in FROM, parameters, positions, and nothing lost on the way."""

from __future__ import annotations

import importlib

import pytest
from sqlglot import exp

from hanse.errors import BindError, ParseError, UsageError
from hanse.sql import parser_query, table_functions
from hanse.sql.nodes import CreateModel, CreateTable, Query, TableFunction, position_of
from hanse.sql.nodes import table_functions as functions_of
from hanse.sql.parser import parse
from hanse.sql.table_functions import TableFunctionForm


def tree_of(text: str) -> exp.Query:
    (statement,) = parse(text)
    if isinstance(statement, Query):
        return statement.tree
    assert isinstance(statement, CreateTable | CreateModel)
    assert statement.query is not None
    return statement.query


def only(text: str) -> TableFunction:
    (function,) = functions_of(tree_of(text))
    return function


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM model_predict(m, 1, SELECT a, b FROM t)",
        "SELECT * FROM MODEL_PREDICT (m, 1, (SELECT a, b FROM t))",
        "SELECT * FROM Model_Predict  (m, 1, WITH x AS (SELECT 1 AS a) SELECT a, a FROM x) AS p",
        "SELECT * FROM model_predict(m, 1, SELECT 1 UNION ALL SELECT 2, 3) p WHERE p.prediction = 0",
        "SELECT * FROM model_predict(m, 1, TABLE t) p (a, b)",
        "SELECT * FROM t JOIN model_predict(m, 1, SELECT 1) p ON p.a = t.a",
        "SELECT * FROM t, model_predict(m, 1, SELECT 1)",
        "SELECT * FROM t LEFT ANTI JOIN (SELECT * FROM model_predict(m, 1, SELECT 1)) USING (a)",
        "WITH p AS (SELECT * FROM model_predict(m, 1, SELECT 1)) SELECT * FROM p",
        "SELECT 1 UNION ALL SELECT a FROM model_predict(m, 1, SELECT 1)",
        "SELECT * FROM t WHERE a IN (SELECT a FROM model_predict(m, 1, SELECT 1))",
        "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM model_predict(m, 1, SELECT 1) p WHERE p.a = t.a)",
        "SELECT (SELECT max(a) FROM model_predict(m, 1, SELECT 1)) AS x",
        "CREATE TABLE t AS SELECT * FROM model_predict(m, 1, SELECT 1)",
        "CREATE MODEL x AS SELECT * FROM model_predict(m, 1, SELECT 1)",
        "FROM model_predict(m, 1, SELECT 1) SELECT a",
    ],
)
def test_a_table_function_stands_anywhere_a_table_can(text: str) -> None:
    function = only(text)
    assert function.name == "model_predict"
    assert function.args["model"].name == "m"
    assert function.args["version"] == exp.Literal.number(1)
    assert isinstance(function.args["query"], exp.Query)
    assert isinstance(function.parent, exp.Table)


def test_it_can_be_replaced_by_a_table_and_keeps_its_alias() -> None:
    tree = tree_of("SELECT p.a FROM model_predict(m, 1, SELECT a FROM t) AS p JOIN model_centroids(m, 1) ON true")
    for number, function in enumerate(functions_of(tree)):
        function.replace(exp.to_identifier(f"generated_{number}"))
    assert tree.sql(dialect="spark") == "SELECT p.a FROM generated_0 AS p JOIN generated_1 ON TRUE"


def test_a_with_inside_stays_inside() -> None:
    tree = tree_of("SELECT * FROM model_predict(m, 1, WITH x AS (SELECT 1 AS a) SELECT a FROM x)")
    assert tree.ctes == []
    (function,) = functions_of(tree)
    assert [cte.alias for cte in function.args["query"].ctes] == ["x"]
    assert function.args["query"].sql() == "WITH x AS (SELECT 1 AS a) SELECT a FROM x"


def test_nested_functions_come_with_their_outer_one() -> None:
    outer = only("SELECT * FROM model_predict(a, 1, SELECT * FROM model_predict(b, 2, SELECT 1)) x")
    (inner,) = functions_of(outer.args["query"])
    assert (outer.args["model"].name, inner.args["model"].name) == ("a", "b")


@pytest.mark.parametrize(
    ("written", "name"), [("league.g", "league.g"), ("`my model`", "my model"), ("é", "é"), ("date", "date")]
)
def test_model_names(written: str, name: str) -> None:
    function = only(f"SELECT * FROM model_centroids({written}, 1)")
    assert function.args["model"].name == name
    assert position_of(function.args["model"]) == (1, 31)
    assert function.args.get("query") is None


@pytest.mark.parametrize("written", ["$v", "${v}", "'$v'"])
def test_a_version_may_be_a_parameter(written: str) -> None:
    version = only(f"SELECT * FROM model_centroids(m, {written})").args["version"]
    assert isinstance(version, exp.Parameter)
    assert version.name == "v"
    assert position_of(version) == (1, 34)


def test_a_form_is_all_that_a_new_table_function_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    detect = TableFunctionForm("detect_anomalies", ("model", "version", "query"), ("contamination", "topk"))
    match = TableFunctionForm("match_clusters", ("model", "version", "other_model", "other_version", "query"), ())
    monkeypatch.setitem(table_functions.TABLE_FUNCTIONS_BY_NAME, detect.name, detect)
    monkeypatch.setitem(table_functions.TABLE_FUNCTIONS_BY_NAME, match.name, match)
    assert parser_query.parse_table_function is table_functions.parse_table_function
    function = only(
        "SELECT * FROM detect_anomalies(m, 1, SELECT a, b FROM t, u ORDER BY a, b, contamination => -0.02, topk => $k)"
    )
    assert function.args["query"].sql() == "SELECT a, b FROM t CROSS JOIN u ORDER BY a, b"
    first, second = function.args["options"]
    assert (first.name, first.expression.sql()) == ("contamination", "-0.02")
    assert isinstance(second.expression, exp.Parameter)
    with pytest.raises(BindError, match="did you mean contamination"):
        parse("SELECT * FROM detect_anomalies(m, 1, SELECT 1, contaminatoin => 1)")
    with pytest.raises(ParseError, match="given twice"):
        parse("SELECT * FROM detect_anomalies(m, 1, SELECT 1, topk => 1, TOPK => 2)")
    both = only("SELECT * FROM match_clusters(a, 1, b.c, $v, SELECT 1)")
    assert (both.args["model"].name, both.args["other_model"].name) == ("a", "b.c")


def test_sparks_own_table_functions_pass() -> None:
    assert list(functions_of(tree_of("SELECT * FROM range(10) LATERAL VIEW explode(xs) e AS x"))) == []


def test_parameters() -> None:
    tree = tree_of("SELECT $a, ${b}, '$c', $date, $End FROM t WHERE x BETWEEN $start_date AND '$end_date'")
    assert [p.name for p in tree.find_all(exp.Parameter, bfs=False)] == [
        "a",
        "b",
        "date",
        "End",
        "start_date",
    ]
    assert [p.name for p in tree.find_all(exp.Literal)] == ["$c", "$end_date"]
    assert [position_of(p) for p in tree.expressions] == [(1, 8), (1, 12), (1, 18), (1, 24), (1, 31)]


def test_a_doubled_quote_is_a_quote() -> None:
    tree = tree_of("SELECT 'it''s', '''', 'a' 'b', x FROM t")
    assert [e.name for e in tree.expressions[:2]] == ["it's", "'"]
    assert isinstance(tree.expressions[2], exp.Concat)
    assert position_of(tree.expressions[3]) == (1, 32)


def test_positions_are_first_characters() -> None:
    tree = tree_of("SELECT\n  t.`a b` + f(x),\n  'two\nlines' AS y\nFROM tab AS t")
    column = tree.find(exp.Column)
    assert position_of(column) == (2, 3)
    assert position_of(tree.find(exp.Anonymous)) == (2, 13)
    assert position_of(tree.find(exp.Literal)) == (3, 3)
    assert position_of(tree.find(exp.Table)) == (5, 6)
    assert position_of(tree.find(exp.Add)) == (2, 3)
    assert position_of(exp.column("x")) is None
    assert position_of(None) is None


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("SELECT datediff(1, 2, 3, 4)", ["1", "2", "3", "4"]),
        ("SELECT named_struct('a', 1, 'b')", ["a", "1", "b"]),
        ("SELECT element_at(xs, 1, 2)", ["xs", "1", "2"]),
        ("SELECT first(x, y)", ["x", "y"]),
        ("SELECT array(NULL, 2)", ["NULL", "2"]),
        ("SELECT map(NULL, 1)", ["NULL", "1"]),
    ],
)
def test_no_argument_is_lost(text: str, arguments: list[str]) -> None:
    call = tree_of(text).expressions[0]
    assert [argument.name for argument in call.expressions] == arguments


@pytest.mark.parametrize(
    "text",
    [
        "SELECT date_trunc('month', d), trunc(d, 'MM'), date_format(d, 'yyyy'), to_date(s, 'yyyy')",
        "SELECT datediff(day, a, b), datediff(a, b), round(x, 2), log(2, x), substr(s, 1, 2), first(x, true)",
        "SELECT named_struct('a', 1, 'b', 2), map('k', 1), array(1, 2), coalesce(a, b, c), concat(a, b)",
        "SELECT transform(xs, x -> x + 1), filter(xs, (x, i) -> i > 0), aggregate(xs, 0, (a, x) -> a + x)",
        "SELECT percentile_approx(x, 0.5, 100), regexp_extract(s, 'a(b)', 1), from_unixtime(x, 'yyyy')",
        "SELECT lag(x, 1, 0) OVER (ORDER BY y), sequence(1, 5, 2), slice(xs, 1, 2), lpad(s, 2, 'x')",
        "SELECT a.b[0].c, m['k'], xs[1:2], x::INT, CAST(x AS MAP<STRING, ARRAY<INT>>), INTERVAL 1 DAY",
        "SELECT * FROM t PIVOT (sum(a) FOR b IN (1, 2))",
        "SELECT * FROM parquet.`a/b.parquet` TABLESAMPLE (10 PERCENT)",
        "SELECT * FROM a JOIN b JOIN c ON b.x = c.x ON a.x = b.x CROSS JOIN d",
        "SELECT * EXCEPT (a), t.* FROM t GROUP BY ALL HAVING count(*) > 1 ORDER BY a NULLS LAST LIMIT 5",
        "SELECT a, GROUPING(b) FROM t GROUP BY a, b WITH ROLLUP",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ())",
    ],
)
def test_what_analysts_write_parses(text: str) -> None:
    assert tree_of(text).sql(dialect="spark")


@pytest.mark.parametrize(
    ("text", "aliases"),
    [
        ("SELECT * FROM VALUES (1, 2)", ["_values_1(col1, col2)"]),
        ("SELECT * FROM VALUES 1, 2 AS t", ["t(col1)"]),
        ("SELECT * FROM (VALUES (1, 2)) AS t(a, b)", ["t(a, b)"]),
        ("SELECT * FROM (VALUES (1)), (VALUES (2))", ["_values_1(col1)", "_values_2(col1)"]),
        ("WITH a AS (VALUES (1)) SELECT 1 UNION ALL VALUES (2)", ["_values_1(col1)", "_values_2(col1)"]),
    ],
)
def test_values_are_named_as_spark_names_them(text: str, aliases: list[str]) -> None:
    found = [alias.sql() for alias in tree_of(text).find_all(exp.TableAlias, bfs=False) if alias.columns]
    assert sorted(found) == sorted(aliases)


def test_joins_without_conditions_are_read_once() -> None:
    tree = tree_of("SELECT * FROM a" + " JOIN b" * 150)
    assert len(tree.args["joins"]) == 150


def test_right_deep_joins_keep_their_shape() -> None:
    text = "SELECT * FROM a JOIN b JOIN c ON b.x = c.x ON a.x = b.x"
    assert tree_of(text).sql() == text


def test_a_compiled_sqlglot_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlglot.parser.__file__", "site-packages/sqlglot/parser.cpython-311-x86_64-linux-gnu.so")
    with pytest.raises(UsageError, match="pip uninstall sqlglotc"):
        importlib.reload(parser_query)
