"""PEP 249: connections and cursors over a session."""

from __future__ import annotations

import datetime
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse import dbapi, errors


@pytest.fixture
def connection() -> Iterator[dbapi.Connection]:
    with dbapi.connect() as opened:
        yield opened


@pytest.fixture
def cursor(connection: dbapi.Connection) -> dbapi.Cursor:
    return connection.cursor()


def test_the_module_says_what_pep_249_asks() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "named")


def test_the_exceptions_form_pep_249s_tree() -> None:
    assert issubclass(dbapi.Warning, Exception)
    assert not issubclass(dbapi.Warning, dbapi.Error)
    assert issubclass(dbapi.InterfaceError, dbapi.Error)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        kind = getattr(dbapi, f"{name}Error")
        assert issubclass(kind, dbapi.DatabaseError)
        assert getattr(dbapi.Connection, f"{name}Error") is kind


def test_rows_are_fetched_in_every_way(cursor: dbapi.Cursor) -> None:
    cursor.execute("SELECT id FROM range(10) ORDER BY id")
    assert cursor.fetchone() == (0,)
    assert cursor.fetchmany() == [(1,)]
    assert cursor.fetchmany(2) == [(2,), (3,)]
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(4,), (5,), (6,)]
    assert next(cursor) == (7,)
    assert cursor.fetchall() == [(8,), (9,)]
    assert (cursor.fetchone(), cursor.fetchmany(5), cursor.fetchall()) == (None, [], [])
    assert list(cursor.execute("SELECT 1 AS a")) == [(1,)]
    assert cursor.execute("SELECT id FROM range(3)").fetch_arrow_table().num_rows == 3


def test_the_description_names_columns_and_their_types(cursor: dbapi.Cursor) -> None:
    assert cursor.description is None
    cursor.execute(
        "SELECT 1 AS n, 1.5e0 AS d, CAST(1 AS DECIMAL(9, 2)) AS e, true AS b, 'x' AS s, DATE '2011-10-01' AS day, "
        "TIMESTAMP '2011-10-01 12:00:00' AS t, CAST('x' AS BINARY) AS raw, array(1) AS list"
    )
    description = cursor.description
    assert description is not None
    assert [column[0] for column in description] == ["n", "d", "e", "b", "s", "day", "t", "raw", "list"]
    assert {len(column) for column in description} == {7}
    codes = [column[1] for column in description]
    for code, meaning in zip(codes, "NNNNSDDB-", strict=True):
        wanted = {"N": dbapi.NUMBER, "S": dbapi.STRING, "D": dbapi.DATETIME, "B": dbapi.BINARY}.get(meaning)
        kinds = (dbapi.NUMBER, dbapi.STRING, dbapi.DATETIME, dbapi.BINARY, dbapi.ROWID)
        assert [kind for kind in kinds if kind == code] == ([] if wanted is None else [wanted])


def test_values_are_pythons_own(cursor: dbapi.Cursor) -> None:
    row = cursor.execute(
        "SELECT :day AS day, :moment AS moment, :text AS text, :nothing AS nothing, :share AS share",
        {
            "day": dbapi.Date(2011, 10, 1),
            "moment": dbapi.Timestamp(2011, 10, 1, 12, 30),
            "text": "it's :not a parameter",
            "nothing": None,
            "share": 0.1,
        },
    ).fetchone()
    moment = datetime.datetime(2011, 10, 1, 12, 30)
    assert row == (datetime.date(2011, 10, 1), moment, "it's :not a parameter", None, 0.1)


def test_ticks_are_utc() -> None:
    assert dbapi.DateFromTicks(0) == datetime.date(1970, 1, 1)
    assert dbapi.TimeFromTicks(3600.5) == datetime.time(1, 0, 0, 500_000)
    assert dbapi.TimestampFromTicks(86_400) == datetime.datetime(1970, 1, 2)


def test_parameters_are_named_in_two_ways(cursor: dbapi.Cursor) -> None:
    text = "SELECT :a + $a AS n, ':a' AS text, `x:a` AS quoted, named_struct('k', :a) AS s -- :nope /* :nope\n"
    text += "FROM (SELECT 1 AS `x:a`) /* :nope ' */ WHERE 1 = 1"
    assert cursor.execute(text, {"a": 2}).fetchall() == [(4, ":a", 1, {"k": 2})]


def test_an_error_after_a_colon_keeps_its_place(cursor: dbapi.Cursor) -> None:
    with pytest.raises(dbapi.ProgrammingError, match=r"unknown column nope at line 2, column 2"):
        cursor.execute("SELECT :a AS a,\n nope FROM range(1)", {"a": 1})


def test_positional_parameters_are_refused(cursor: dbapi.Cursor) -> None:
    with pytest.raises(dbapi.ProgrammingError, match="parameters are named"):
        cursor.execute("SELECT ?", (1,))  # type: ignore[arg-type]  # what a user may try


def test_rowcount_counts_written_rows(cursor: dbapi.Cursor) -> None:
    assert cursor.rowcount == -1
    assert cursor.execute("CREATE TABLE t AS SELECT id FROM range(5)").rowcount == 5
    assert cursor.execute("INSERT INTO t SELECT id FROM range(2)").rowcount == 2
    assert cursor.fetchall() == [("t", 2)]
    assert cursor.execute("SELECT * FROM t").rowcount == -1


def test_executemany_runs_once_per_set(cursor: dbapi.Cursor) -> None:
    cursor.execute("CREATE TABLE t (a INT, b STRING)")
    cursor.executemany("INSERT INTO t SELECT :a, :b", [{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    assert cursor.rowcount == 2
    with pytest.raises(dbapi.InterfaceError, match="no result to fetch"):
        cursor.fetchall()
    assert cursor.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(1, "x"), (2, None)]
    assert cursor.executemany("INSERT INTO t SELECT :a, :b", []).rowcount == -1


def test_cursors_read_side_by_side(connection: dbapi.Connection) -> None:
    one, two = connection.cursor(), connection.cursor()
    one.execute("SELECT id FROM range(200000)")
    assert one.fetchone() == (0,)
    two.execute("CREATE TEMP TABLE t AS SELECT id * 2 AS twice FROM range(200000)")
    two.execute("SELECT twice FROM t")
    assert two.fetchone() == (0,)
    assert one.fetchall() == [(i,) for i in range(1, 200_000)]
    assert two.fetchall() == [(2 * i,) for i in range(1, 200_000)]


def test_a_dropped_result_does_not_hold_the_engine(connection: dbapi.Connection) -> None:
    one = connection.cursor()
    one.execute("SELECT id FROM range(1000000)").fetchone()
    one.close()
    assert connection.cursor().execute("SELECT 1 AS a").fetchall() == [(1,)]


def test_warnings_are_messages(cursor: dbapi.Cursor) -> None:
    cursor.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert cursor.messages == []
    cursor.execute("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a")
    ((kind, warning),) = cursor.messages
    assert kind is dbapi.Warning
    assert str(warning) == "table t exists already: left as it is"


@pytest.mark.parametrize(
    ("statement", "meaning", "cause"),
    [
        ("SELEC 1", dbapi.ProgrammingError, errors.ParseError),
        ("SELECT nope FROM range(1)", dbapi.ProgrammingError, errors.BindError),
        ("SELECT :missing", dbapi.ProgrammingError, errors.BindError),
        ("", dbapi.ProgrammingError, errors.UsageError),
        ("DESCRIBE MODEL nope", dbapi.ProgrammingError, errors.ModelNotFoundError),
        ("SELECT raise_error('x')", dbapi.NotSupportedError, errors.UnsupportedError),
        (
            "CREATE MODEL m TRANSFORM (vector_assembler(array(x)) AS f) OPTIONS (MODEL_TYPE = 'kmeans') "
            "AS SELECT 1 AS x WHERE 1 = 0",
            dbapi.DataError,
            errors.DataError,
        ),
    ],
)
def test_an_error_has_pep_249s_kind_and_hanses_message(
    cursor: dbapi.Cursor, statement: str, meaning: type[dbapi.Error], cause: type[errors.HanseError]
) -> None:
    with pytest.raises(meaning) as caught:
        cursor.execute(statement)
    assert type(caught.value) is meaning
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value) == str(caught.value.__cause__)
    assert cursor.description is None


def test_a_workspace_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    with pytest.raises(dbapi.OperationalError, match="is a file"):
        dbapi.connect(tmp_path / "w")


def test_what_is_closed_says_so(connection: dbapi.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS a")
    for use in (cursor.fetchone, cursor.fetchall, lambda: cursor.execute("SELECT 1")):
        with pytest.raises(dbapi.InterfaceError, match="this cursor is closed"):
            use()
    other = connection.cursor()
    connection.close()
    connection.close()
    for use in (connection.cursor, connection.commit, connection.rollback, lambda: other.execute("SELECT 1")):
        with pytest.raises(dbapi.InterfaceError, match="this connection is closed"):
            use()


def test_every_statement_is_committed(connection: dbapi.Connection) -> None:
    connection.commit()
    with pytest.raises(dbapi.NotSupportedError, match="nothing to roll back"):
        connection.rollback()
    connection.cursor().setinputsizes([1])
    connection.cursor().setoutputsize(1)


def test_a_connection_can_share_a_session() -> None:
    with hanse.connect() as session:
        session.sql("CREATE TEMP TABLE t AS SELECT 1 AS a")
        assert dbapi.Connection(session).cursor().execute("SELECT a FROM t").fetchall() == [(1,)]


def test_a_cursor_may_be_used_from_another_thread(connection: dbapi.Connection) -> None:
    found: list[object] = []
    cursor = connection.cursor()
    thread = threading.Thread(target=lambda: found.extend(cursor.execute("SELECT id FROM range(3)").fetchall()))
    thread.start()
    thread.join()
    assert found == [(0,), (1,), (2,)]


def test_rows_stream(cursor: dbapi.Cursor) -> None:
    cursor.execute("SELECT id FROM range(1000000000)")
    assert list(itertools.islice(cursor, 3)) == [(0,), (1,), (2,)]
    cursor.close()
