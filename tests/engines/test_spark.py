"""What is Spark's own: how it is reached, what it is asked, what is left behind, and what its errors become."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from referee import register, scratch_tables, train
from spark_session import cached_rows, missing_spark

import hanse
from hanse.engines.spark import Spark
from hanse.engines.spark_text import backquoted, said
from hanse.errors import DataError, EngineError, UsageError, WorkspaceError

REASON = missing_spark()
needs_spark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def blobs(rows: int = 200) -> Any:
    random = np.random.default_rng(3)
    return np.concatenate([random.normal(0, 1, (rows, 2)), random.normal(9, 1, (rows // 2, 2))])


def plan(spark: Any, shop: hanse.Session, query: str) -> str:
    rows = dict(shop.sql(f"EXPLAIN {query}").fetchall())
    return f"{rows['sql']}\n{rows['physical_plan']}"


# -- what Spark is asked -----------------------------------------------------------------------


def test_prediction_is_a_projection_without_python_workers(spark: Any, shop: hanse.Session) -> None:
    register(shop, blobs())
    train(shop, "m", num_clusters=2)
    shop.sql("CREATE TABLE stored AS SELECT * FROM points")
    shown = plan(spark, shop, "SELECT * FROM model_predict(m, 1, SELECT * FROM stored)")
    assert "Project" in shown
    assert "FileScan" in shown
    for sign in ("Python", "UDF", "MapPartitions", "DeserializeToObject", "Exchange", "Join"):
        assert sign not in shown


def test_each_round_is_one_aggregate_query_over_cached_rows(
    spark: Any, shop: hanse.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(shop, blobs())
    asked: list[str] = []
    plain = Spark._run

    def noted(engine: Spark, sql: str) -> Any:
        asked.append(sql)
        return plain(engine, sql)

    monkeypatch.setattr(Spark, "_run", noted)
    rounds = 0

    def count(*_: object) -> None:
        nonlocal rounds
        rounds += 1

    plans: list[str] = []
    observe = Spark.observe

    def explained(engine: Spark, relation: str, observation: Any) -> Any:
        before = len(asked)
        found = observe(engine, relation, observation)
        assert len(asked) == before + 1
        plans.append(str(spark.sql(f"EXPLAIN {backquoted(asked[-1])}").collect()[0][0]))
        return found

    monkeypatch.setattr(Spark, "observe", explained)
    train(shop, "m", num_clusters=3)
    assert len(plans) >= 3
    for shown in plans:
        assert "InMemoryTableScan" in shown
        assert "Aggregate" in shown
        assert not any(sign in shown for sign in ("Python", "UDF", "MapPartitions", "Join"))


def test_nothing_is_left_behind(spark: Any, shop: hanse.Session) -> None:
    before = cached_rows(spark)  # other tests' temporary tables, which Java frees when it collects garbage
    register(shop, blobs())
    train(shop, "m", num_clusters=2)
    shop.sql("SELECT * FROM model_evaluate(m, 1, SELECT * FROM points)").fetchall()
    with pytest.raises(DataError):
        shop.sql("SELECT * FROM model_predict(m, 1, SELECT x0, CAST(NULL AS DOUBLE) AS x1 FROM points)").fetchall()
    assert scratch_tables(shop) == []
    assert cached_rows(spark) <= before


def test_settings_of_the_session_stay_as_they_are(spark: Any) -> None:
    before = dict(spark.conf.getAll)
    with hanse.connect(engine="spark", spark=spark) as shop:
        register(shop, blobs())
        train(shop, "m", num_clusters=2)
    assert dict(spark.conf.getAll) == before


# -- tables ------------------------------------------------------------------------------------


def test_the_users_own_views_are_in_sight(spark: Any, shop: hanse.Session) -> None:
    spark.range(3).createOrReplaceTempView("mine")
    assert shop.sql("SELECT sum(id) AS s FROM mine").fetchall() == [(3,)]
    shop.sql("CREATE TABLE ours AS SELECT * FROM mine")
    assert spark.table("ours").count() == 3


def test_a_temporary_table_is_cut_off_from_its_source(shop: hanse.Session) -> None:
    shop.sql("CREATE TABLE source AS SELECT id FROM range(5)")
    assert shop.sql("CREATE TEMP TABLE t AS SELECT id FROM source").fetchall() == [("t", 5)]
    shop.sql("DROP TABLE source")
    shop.sql("INSERT INTO t SELECT 9 AS id")
    assert shop.sql("SELECT sum(id) AS s, count(*) AS n FROM t").fetchall() == [(19, 6)]
    shop.sql("DROP TABLE t")
    assert shop.sql("SHOW TABLES").fetchall() == []


def test_a_table_that_cannot_be_made_is_not_there(shop: hanse.Session) -> None:
    shop.sql("CREATE TABLE t AS SELECT 1 AS a")
    for statement in ("CREATE TABLE u AS {}", "CREATE OR REPLACE TABLE t AS {}", "CREATE TEMP TABLE v AS {}"):
        with pytest.raises(EngineError, match="integer overflow in id \\+ 9223372036854775807"):
            shop.sql(statement.format("SELECT id + 9223372036854775807 AS a FROM range(3)"))
    assert shop.sql("SHOW TABLES").fetchall() == [("t",)]
    assert shop.sql("SELECT * FROM t").fetchall() == [(1,)]


def test_a_table_may_be_replaced_by_what_it_held(shop: hanse.Session) -> None:
    shop.sql("CREATE TABLE t AS SELECT id FROM range(4)")
    shop.sql("CREATE OR REPLACE TABLE t AS SELECT id + 1 AS id, NULL AS nothing FROM t")
    assert shop.sql("SELECT sum(id) AS s, count(nothing) AS n FROM t").fetchall() == [(10, 0)]
    assert shop.sql("DESCRIBE TABLE t").fetchall() == [("id", "BIGINT"), ("nothing", "INT")]


def test_files_are_loaded(shop: hanse.Session, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), tmp_path / "one.parquet")
    pq.write_table(pa.table({"a": [3], "c": [0.5]}), tmp_path / "two.parquet")
    assert shop.load("t", [tmp_path / "one.parquet", tmp_path / "two.parquet"]) == 3
    assert shop.sql("SELECT a, b, c FROM t ORDER BY a").fetchall() == [(1, "x", None), (2, "y", None), (3, None, 0.5)]
    (tmp_path / "t.csv").write_text('id,name\n1,"a, b"\n2,\n')
    assert shop.load("t", [tmp_path / "t.csv"]) == 2
    assert shop.sql("SELECT * FROM t ORDER BY id").fetchall() == [(1, "a, b"), (2, None)]
    with pytest.raises(UsageError, match="does not exist"):
        shop.load("t", [tmp_path / "none.csv"])


def test_times_are_utc_without_a_zone(shop: hanse.Session) -> None:
    found = shop.sql("SELECT timestamp '2020-01-01 10:00:00' AS t, array(timestamp '2020-01-01 00:00:00') AS l").arrow()
    assert found.schema.field("t").type == pa.timestamp("us")
    assert str(found["t"][0]) == "2020-01-01 10:00:00"
    assert found.schema.field("l").type.value_type == pa.timestamp("us")


def test_another_time_zone_is_refused_where_there_are_times(spark: Any, shop: hanse.Session) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        assert shop.sql("SELECT 1 AS one").fetchall() == [(1,)]
        with pytest.raises(UsageError, match="time zone is Europe/Berlin, and times are UTC here"):
            shop.sql("SELECT timestamp '2020-01-01 10:00:00' AS t").fetchall()
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT x FROM nope", "unknown table nope at line 1, column 15: "),
        ("SELECT nope FROM range(3)", "unknown column nope at line 1, column 8: valid: id"),
        ("SELECT * FROM csv.`/no/such.csv`", "file /no/such.csv: Spark: Path does not exist"),
        ("SELECT id, id FROM range(2) AS t JOIN range(3) AS u ON t.id = u.id", "ambiguous column id"),
        ("CREATE VIEW v AS SELECT 1 AS a, 2 AS a", "two columns called a"),
    ],
)
def test_errors_are_hanses_own(shop: hanse.Session, statement: str, message: str) -> None:
    with pytest.raises(hanse.errors.HanseError) as caught:
        shop.sql(statement).fetchall()
    assert message in str(caught.value)
    assert not any(sign in str(caught.value) for sign in ("\n", "org.apache", "SQLSTATE", "java."))


def test_a_table_that_disappears_in_the_middle(spark: Any, shop: hanse.Session) -> None:
    shop.sql("CREATE TABLE t AS SELECT CAST(id AS DOUBLE) AS x FROM range(50)")
    result = shop.sql("SELECT * FROM t")
    assert len(result.fetchall()) == 50
    spark.sql("DROP TABLE t")
    with pytest.raises(hanse.errors.BindError, match="unknown table t at line 1, column 15"):
        shop.sql("SELECT * FROM t")
    with pytest.raises(EngineError, match="Spark: The table or view `t` cannot be found"):
        shop.engine.rows("SELECT * FROM t")


@pytest.mark.parametrize(
    ("kind", "told", "message"),
    [
        ("Py4JJavaError", "An error\n: java.lang.OutOfMemoryError: Java heap space\n\tat x", "Spark ran out of memory"),
        ("SparkException", "is bigger than spark.driver.maxResultSize (1.0 GiB)", "larger than Spark lets its driver"),
        ("Py4JNetworkError", "Answer from Java side is empty", "the Spark session has ended"),
        ("Py4JJavaError", "Cannot call methods on a stopped SparkContext.\nat y", "the Spark session has ended"),
        ("AnalysisException", "[X.Y] What is wrong. SQLSTATE: 42000; line 1\n'Project", "Spark: What is wrong."),
        ("SparkRuntimeException", "[USER_RAISED_EXCEPTION] mine SQLSTATE: P0001", "mine"),
        ("SparkException", "Job aborted\nCaused by: a.B: [USER_RAISED_EXCEPTION] mine SQLSTATE: P0001\n at c", "mine"),
        ("SparkException", "java.io.IOException: No space left on device\n at c", "disk is full"),
        ("X", "", "Spark: unknown error"),
    ],
)
def test_what_spark_says_is_told_in_one_line(kind: str, told: str, message: str) -> None:
    error = said(kind, told)
    assert isinstance(error, EngineError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_names_in_double_quotes_become_names_in_backquotes() -> None:
    assert (
        backquoted("""SELECT "a""b", "c`d", '"x" \\' "y"', `"z"`""") == """SELECT `a"b`, `c``d`, '"x" \\' "y"', `"z"`"""
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "sparc"}, "engine 'sparc': did you mean spark?"),
        ({"master": "local[2]"}, "master is for engine spark"),
        ({"engine": "spark"}, "needs one of --master"),
        ({"engine": "spark", "master": "local[2]", "remote": "sc://x"}, "needs one of --master"),
        ({"engine": "spark", "master": "local[2]", "threads": 2}, "write master = 'local[2]'"),
        ({"engine": "spark", "spark": object(), "master": "local[2]"}, "leave out master and remote"),
    ],
)
def test_arguments_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        hanse.connect(**given)
    assert message in str(caught.value)


@needs_spark
def test_java_that_is_missing_or_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs Java 17 or later, and JAVA_HOME is .* has no bin/java"):
        hanse.connect(engine="spark", master="local[1]")
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    with pytest.raises(UsageError, match=r"needs Java 17 or later, and .* is 11"):
        hanse.connect(engine="spark", master="local[1]")


def test_a_pyspark_that_is_missing_or_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        __version__ = "3.5.1"

    monkeypatch.setitem(sys.modules, "pyspark", Old)
    with pytest.raises(UsageError, match=r"pyspark 3.5.1 is installed, and engine spark needs 4.1"):
        hanse.connect(engine="spark", master="local[1]")
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(UsageError, match=r"needs pyspark 4: pip install 'hanse\[spark\]'"):
        hanse.connect(engine="spark", master="local[1]")


DYING = """
import hanse, sys
from pathlib import Path
with hanse.connect("shop", engine="spark", master="local[1]") as shop:
    shop.sql("CREATE TABLE points AS SELECT CAST(id % 7 AS DOUBLE) AS x, CAST(id % 11 AS DOUBLE) AS y FROM range(500)")
    make = "CREATE MODEL {} OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2) AS SELECT x, y FROM points"
    shop.sql(make.format("first"))
    session = shop.engine._session
    try:
        shop.sql(make.format("second"), progress=lambda *_: session.stop())
    except hanse.errors.EngineError as error:
        print(error)
    print([info.name for info in shop.registry.list()])
"""


@needs_spark
@pytest.mark.usefixtures("quick_spark")
def test_a_workspace_keeps_its_tables_and_a_session_that_dies_leaves_the_registry(tmp_path: Path) -> None:
    def told(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *(["-c", script] if script else ["-m", "hanse.cli"]), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout

    lines = told(textwrap.dedent(DYING)).splitlines()
    assert lines[0].startswith("the Spark session has ended: start one and connect again")
    assert lines[1] == "['first']"
    text = "SHOW TABLES; SELECT count(*) AS n FROM model_predict(first, 1, SELECT * FROM points)"
    shown = told("", "sql", text, "-w", "shop", "--engine", "spark", "--master", "local[1]", "--format", "csv")
    assert shown.split() == ["table", "points", "n", "500"]


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    from hanse.engines.spark_tables import FolderTables

    ran: list[str] = []
    tables = FolderTables(ran.append, tmp_path / "spark")
    with pytest.raises(WorkspaceError, match="in use by another process"):
        FolderTables(ran.append, tmp_path / "spark")
    tables.create_empty(["t"], "`a` INT", replace=False)
    tables.create_view(["v"], "", "SELECT * FROM t", replace=False)
    tables.close()
    ran.clear()
    again = FolderTables(ran.append, tmp_path / "spark")
    assert ran[0].startswith("CREATE TABLE `t` (`a` INT) USING parquet LOCATION")
    assert ran[1] == "CREATE VIEW `v` AS SELECT * FROM t"
    again.drop(["t"], view=False)
    again.close()
    assert [path.name for path in (tmp_path / "spark").iterdir() if path.is_dir()] == []
    (tmp_path / "spark" / "tables.json").write_text('{"tables": {"t": 1}}')
    with pytest.raises(WorkspaceError, match="cannot be read as a list of tables"):
        FolderTables(ran.append, tmp_path / "spark")


HUNGRY = """
import hanse
with hanse.connect("shop", engine="spark", master="local[1]", memory_limit="512MB") as shop:
    shop.sql("CREATE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT CAST(id % 7 AS DOUBLE) AS x FROM range(20)")
    try:
        shop.sql("SELECT length(repeat('x', 1500000000 + CAST(id AS INT))) AS n FROM range(1)").fetchall()
    except hanse.errors.EngineError as error:
        print(error)
    print([info.name for info in shop.registry.list()])
"""


@needs_spark
def test_a_driver_that_runs_out_of_memory(tmp_path: Path) -> None:
    """One value of 1,500 megabytes, for a Java that has 512."""
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    error, models = done.stdout.splitlines()
    assert "Spark ran out of memory: give the driver more (spark.driver.memory), or ask for fewer rows" in error
    assert models == "['m']"
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_report_shows_what_it_shows_on_duckdb(shop: hanse.Session, tmp_path: Path) -> None:
    """Every number and word of the page, but for rounding and for when it was written."""
    rows = np.concatenate([blobs(), [[80.0, -60.0], [90.0, -60.0]]])
    names = [f"c{i}" for i in range(len(rows))]
    told = []
    with hanse.connect() as other:
        for session in (other, shop):
            session.register("given", pa.table({"customer_id": names, "orders": rows[:, 0], "amount": rows[:, 1]}))
            session.sql("CREATE TABLE shoppers AS SELECT * FROM given")
            for model, clusters in (("local", 3), ("global", 2)):
                session.sql(
                    f"CREATE MODEL {model} TRANSFORM (vector_assembler(array(orders, amount)) f) OPTIONS (MODEL_TYPE = "
                    f"'bisecting_kmeans', NUM_CLUSTERS = {clusters}) AS SELECT customer_id, orders, amount FROM shoppers"
                )
            report = session.report("local", tmp_path / "report.html", against="global")
            assert (tmp_path / "report.html").read_bytes().startswith(b"<!DOCTYPE html>")
            told.append(list(leaves(asdict(report))))
    (words, numbers), (other_words, other_numbers) = (split(leaf) for leaf in told)
    assert len(words) > 50
    assert words == other_words
    assert len(numbers) > 500
    assert numbers == pytest.approx(other_numbers, rel=1e-9, abs=1e-9)


def leaves(value: Any) -> Iterator[Any]:
    """What a report holds, in order, without the times at which things were made."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name != "created_at":
                yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def split(values: list[Any]) -> tuple[list[Any], list[float]]:
    return [v for v in values if not isinstance(v, float)], [v for v in values if isinstance(v, float)]
