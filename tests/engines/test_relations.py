"""What the name of a table or view means: what the catalog holds, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse import errors


@pytest.fixture
def embedded() -> Iterator[hanse.Session]:
    """A session on DuckDB: Spark's catalog takes letters, digits and _ only."""
    with hanse.connect() as opened:
        yield opened


@pytest.mark.parametrize("name", ["raw", "call", "string", "quote", "parts", "self", "duckdb", "session", "errors"])
def test_what_python_calls_by_that_name_is_no_table(session: hanse.Session, name: str) -> None:
    with pytest.raises(errors.BindError, match=f"unknown table {name} at line 1, column 15"):
        session.sql(f"SELECT * FROM {name}")
    session.sql(f"CREATE TABLE {name} AS SELECT 1 AS x")
    assert session.sql(f"SELECT x FROM {name}").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["`d.csv`", "d.csv", "`./d.csv`"])
def test_a_file_is_no_table(session: hanse.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.BindError, match=r"unknown table (\./)?d\.csv at line 1, column 15"):
        session.sql(f"SELECT * FROM {name}")
    with pytest.raises(errors.BindError, match=r"unknown table (\./)?d\.csv"):
        session.sql(f"INSERT INTO {name} SELECT 1, 2")
    assert session.sql(f"SELECT * FROM csv.`{tmp_path / 'd.csv'}`").fetchall() == [("x", "y"), ("1", "2")]


def test_a_table_may_be_called_like_a_file(
    embedded: hanse.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    embedded.sql("CREATE TABLE `d.csv` AS SELECT 3 AS q")
    assert embedded.sql("SELECT * FROM `d.csv`").fetchall() == [(3,)]
    assert embedded.sql("DESCRIBE `d.csv`").fetchall() == [("q", "INTEGER")]
    embedded.sql("DROP TABLE `d.csv`")
    assert (tmp_path / "d.csv").exists()


def test_a_name_with_quotes_and_dots(embedded: hanse.Session) -> None:
    embedded.sql("CREATE VIEW `a.b'c\"d` AS SELECT 1 AS `x y`")
    assert embedded.sql("SELECT `x y` FROM `a.b'c\"d`").fetchall() == [(1,)]


BASE = "CREATE TABLE base AS SELECT 1 AS x; CREATE VIEW v AS SELECT x FROM base;"
GONE = f"{BASE} DROP TABLE base"
CHANGED = f"{BASE} CREATE OR REPLACE TABLE base AS SELECT 1 AS y"
outdated = pytest.mark.parametrize("made", [GONE, CHANGED])


@outdated
def test_a_view_that_no_longer_works_says_so(session: hanse.Session, made: str) -> None:
    session.sql(made)
    with pytest.raises(errors.BindError, match=r"^v cannot be read at line 1, column 15: view v no longer works \(.*"):
        session.sql("SELECT * FROM v")
    with pytest.raises(errors.EngineError, match=r"view v no longer works .*: make what it reads, or the view, anew"):
        session.sql("DESCRIBE v")
    assert "v" in session.engine.relations()


@outdated
def test_a_view_that_no_longer_works_is_there(session: hanse.Session, made: str) -> None:
    session.sql(made)
    with pytest.raises(errors.BindError, match="view v exists already"):
        session.sql("CREATE VIEW v AS SELECT 1 AS x")
    assert session.sql("CREATE VIEW IF NOT EXISTS v AS SELECT 1 AS x").warnings
    with pytest.raises(errors.BindError, match="v is a view at line 1, column 12: write DROP VIEW"):
        session.sql("DROP TABLE v")


@pytest.mark.parametrize("drop", ["DROP VIEW v", "DROP VIEW IF EXISTS v"])
@outdated
def test_a_view_that_no_longer_works_is_dropped(session: hanse.Session, made: str, drop: str) -> None:
    session.sql(made)
    assert session.sql(drop).fetchall() == [("v",)]
    assert "v" not in session.engine.relations()


@outdated
def test_a_view_that_no_longer_works_is_replaced(session: hanse.Session, made: str) -> None:
    session.sql(made)
    session.sql("CREATE OR REPLACE VIEW v AS SELECT 7 AS x")
    assert session.sql("SELECT x FROM v").fetchall() == [(7,)]


def test_what_a_view_reads_may_come_back(session: hanse.Session) -> None:
    session.sql(f"{GONE}; CREATE TABLE base AS SELECT 5 AS x")
    assert session.sql("SELECT x FROM v").fetchall() == [(5,)]


def test_a_temporary_table_before_a_view_of_its_name(session: hanse.Session) -> None:
    session.sql("CREATE VIEW x AS SELECT 1 AS p; CREATE OR REPLACE TEMP TABLE x AS SELECT 2 AS p")
    with pytest.raises(errors.BindError, match="x is a table at line 1, column 11: write DROP TABLE"):
        session.sql("DROP VIEW x")
    session.sql("DROP TABLE X")
    assert session.sql("SELECT p FROM x").fetchall() == [(1,)]
    session.sql("DROP VIEW x")
    assert session.engine.kind(["x"]) is None


def test_a_temporary_view_before_a_table_of_its_name(session: hanse.Session) -> None:
    session.sql("CREATE TABLE x AS SELECT 1 AS p; CREATE OR REPLACE TEMP VIEW x AS SELECT 2 AS p")
    with pytest.raises(errors.BindError, match="x is a view at line 1, column 12: write DROP VIEW"):
        session.sql("DROP TABLE x")
    session.sql("DROP VIEW x; DROP TABLE x")
    assert session.engine.kind(["x"]) is None


def test_what_the_parts_of_a_name_mean(embedded: hanse.Session) -> None:
    embedded.sql("CREATE VIEW x AS SELECT 1 AS p; CREATE OR REPLACE TEMP TABLE x AS SELECT 2 AS p")
    kinds = {
        name: embedded.engine.kind(name.split(".")) for name in ("x", "main.x", "memory.x", "memory.main.X", "x.x")
    }
    assert kinds == {"x": "table", "main.x": "table", "memory.x": "view", "memory.main.X": "view", "x.x": None}
    assert embedded.engine.kind(["information_schema", "tables"]) == "view"
    assert embedded.engine.kind(["a", "b", "c", "x"]) is None
