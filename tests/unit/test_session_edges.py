"""A session at its edges: results that fail late, parameters from other libraries, names of workspaces, after the end."""

from __future__ import annotations

import datetime
import enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hanse
from hanse import dbapi
from hanse.errors import BindError, DataError, EngineError, ModelNotFoundError, UsageError

LATE = "SELECT 9223372036854775807 - 200000 + id AS big FROM range(300000) t(id)"


def test_an_error_late_in_a_result_is_its_readers_and_stops_nobody_else() -> None:
    with hanse.connect() as session:
        result = session.sql(LATE)
        assert session.sql("CREATE TABLE after AS SELECT 1 AS x").fetchall() == [("after", 1)]
        for _ in range(2):
            with pytest.raises(EngineError, match="Overflow"):
                list(result.stream)
        assert session.sql("SELECT x FROM after").fetchall() == [(1,)]


def test_a_day_that_python_does_not_know_is_an_error_with_a_way_out() -> None:
    query = "SELECT DATE '10000-01-01' AS far"
    with hanse.connect() as session:
        with pytest.raises(DataError, match=r"column far .*the years 1 to 9999: CAST\(far AS STRING\).*arrow\(\)"):
            session.sql(query).fetchall()
        assert session.sql(query).arrow()["far"].cast("string").to_pylist() == ["10000-01-01"]
        assert session.sql("SELECT CAST(DATE '10000-01-01' AS STRING) AS far").fetchall() == [("10000-01-01",)]


class Word(str, enum.Enum):  # noqa: UP042  # StrEnum writes itself as its text
    """A text with a name."""

    FIRST = "x"


class Number(enum.IntEnum):
    """A number with a name."""

    THREE = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), 1.5),
        (np.float32(-0.5), -0.5),
        (np.int64(-3), -3),
        (np.uint8(7), 7),
        (np.bool_(True), True),
        (Word.FIRST, "x"),
        (Number.THREE, 3),
        (np.str_("it's"), "it's"),
    ],
)
def test_a_parameter_that_is_a_kind_of_number_or_text(value: Any, expected: Any) -> None:
    with hanse.connect() as session:
        ((found,),) = session.sql("SELECT $v", {"v": value}).fetchall()
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1.0, 2.0]), "a parameter of type ndarray"),
        (np.datetime64("2020-01-01"), "a parameter of type datetime64"),
        (datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))), "need one whose year"),
    ],
)
def test_a_parameter_that_cannot_be_bound(value: Any, message: str) -> None:
    with hanse.connect() as session, pytest.raises(BindError, match=message):
        session.sql("SELECT $v", {"v": value})


def test_a_workspace_called_memory_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with hanse.connect(":memory:") as session:
        assert session.sql("CREATE TABLE t AS SELECT 1 AS x").fetchall() == [("t", 1)]
    assert list(tmp_path.iterdir()) == []


def test_a_closed_session_says_so() -> None:
    session = hanse.connect()
    session.close()
    for statement in ("SELECT 1", "SHOW MODELS", "CREATE TABLE t AS SELECT 1 AS x"):
        with pytest.raises(UsageError, match=r"this session is closed: open another one with hanse.connect"):
            session.sql(statement)
    with pytest.raises(UsageError, match="this session is closed"):
        session.load("t", "nothing.csv")


def test_dropping_a_version_that_may_be_missing() -> None:
    with hanse.connect() as session:
        session.sql("CREATE MODEL m OPTIONS (MODEL_TYPE = 'kmeans') AS SELECT x, x AS y FROM range(9) AS t(x)")
        assert session.sql("DROP MODEL IF EXISTS m 7").fetchall() == []
        with pytest.raises(ModelNotFoundError):
            session.sql("DROP MODEL m 7")
        assert session.sql("DROP MODEL IF EXISTS m 1").fetchall() == [("m", 1)]
        assert session.sql("DROP MODEL IF EXISTS m").fetchall() == []


@pytest.mark.parametrize("size", [-1, 1.5, True, "2"])
def test_a_cursor_fetches_a_whole_number_of_rows(size: Any) -> None:
    with dbapi.connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM range(3) t(id)")
        with pytest.raises(dbapi.ProgrammingError, match="need a whole number from 0"):
            cursor.fetchmany(size)
        assert cursor.fetchmany(0) == []
        assert cursor.fetchmany(9) == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memory_limit": "2 gigs"}, r"memory_limit = '2 gigs': need a size as '2GB'"),
        ({"threads": 0}, "threads = 0: need 1 or more"),
    ],
)
def test_a_setting_that_cannot_be_is_not_the_files_fault(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        hanse.connect(tmp_path / "w", **given)
