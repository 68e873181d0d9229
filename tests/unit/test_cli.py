"""The commands: what they write, where, and how they end."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from cli_support import Invoke, invoker

import hanse
from hanse.cli import formats
from hanse.errors import EngineError


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    return invoker(capfdbinary, monkeypatch, tmp_path)


POINTS = "CREATE TABLE points AS SELECT id % 7 AS x, id % 3 AS y FROM range(60);"
MODEL = """CREATE MODEL shoppers TRANSFORM (vector_assembler(array(x, y)) AS features)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2, SEED = 1) AS SELECT x, y FROM points;"""


# -- help ---------------------------------------------------------------------------------------


def test_the_version(cli: Invoke) -> None:
    found = cli("--version")
    assert (found.code, found.text) == (0, f"hanse {hanse.__version__}\n")


def test_help_teaches_by_example(cli: Invoke) -> None:
    assert "hanse demo" in cli("--help").text
    assert cli().text == cli("-h").text
    for command in ("run", "sql", "shell", "load", "models", "demo"):
        found = cli(command, "--help")
        assert found.code == 0
        assert found.text.count(f"hanse {command}") >= 2  # the usage line and an example
        assert "--workspace" in found.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'FILE'"),
        (["sql", "SELECT 1", "--nope"], "No such option"),
        (["sql", "SELECT 1", "--threads", "0"], "--threads"),
        (["sql", "SELECT 1", "--rows", "many"], "--rows"),
        (["sql", "SELECT 1", "--format", "jsn"], "--format jsn: unknown format: did you mean json"),
        (["sql", "SELECT 1", "--param", "k"], "need name=value"),
        (["sql", "SELECT 1", "--memory-limit", "2 apples"], "need a number and a unit, as 500MB or 2GB"),
        (["sql", "SELECT 1", "-w", ""], "--workspace is empty"),
        (["sql", "SELECT 1", "--into", " "], "--into is empty"),
        (["sql", " -- nothing"], "the text has no statement to run"),
        (["load", "", "a.csv"], "the table's name is empty"),
        (["models", "-w", ":memory:"], "holds no models"),
        (["demo", "-w", ":memory:"], "needs a folder"),
        (["demo", "--events", "10", "-w", "d"], "need 1,000 or more"),
    ],
)
def test_bad_usage_is_told_in_one_line(cli: Invoke, arguments: list[str], message: str) -> None:
    found = cli(*arguments)
    assert found.code == 2
    assert message in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert "Traceback" not in found.stderr


# -- formats ------------------------------------------------------------------------------------


def test_json_is_one_object_per_statement(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(POINTS + "SELECT COUNT(*) AS n FROM points;")
    (tmp_path / "b.sql").write_text(MODEL + "SELECT 1 AS one, 'x' AS text, NULL AS nothing")
    found = cli("run", "a.sql", "b.sql", "--format", "json")
    assert found.code == 0, found.stderr
    assert [line["statement"] for line in found.lines] == [1, 2, 3, 4]
    assert [line["kind"] for line in found.lines] == ["create_table", "select", "create_model", "select"]
    assert found.lines[1]["columns"] == ["n"]
    assert found.lines[1]["rows"] == [[60]]
    assert found.lines[2]["columns"] == ["model_id", "model", "version"]
    assert found.lines[3]["rows"] == [[1, "x", None]]
    for line in found.lines:
        assert list(line) == ["statement", "kind", "columns", "rows", "warnings", "elapsed_s"]
        assert line["warnings"] == []
        assert line["elapsed_s"] > 0


def test_warnings_stand_in_the_line_and_on_stderr(cli: Invoke) -> None:
    cli("sql", POINTS)
    found = cli("sql", "CREATE TABLE IF NOT EXISTS points AS SELECT 1 AS x", "--format", "json")
    (line,) = found.lines
    assert line["warnings"] == ["table points exists already: left as it is"]
    assert found.stderr == "warning: table points exists already: left as it is\n"


def test_json_streams_many_rows(cli: Invoke) -> None:
    found = cli("sql", "SELECT id, CAST(id AS STRING) AS text FROM range(200000)", "--format", "json")
    (line,) = found.lines
    assert line["rows"] == [[i, str(i)] for i in range(200_000)]


def test_no_rows_are_an_empty_list(cli: Invoke) -> None:
    (line,) = cli("sql", "SELECT 1 AS a WHERE 1 = 0", "--format", "json").lines
    assert (line["columns"], line["rows"]) == (["a"], [])


def test_json_after_an_error_holds_what_was_done(cli: Invoke) -> None:
    found = cli("sql", "SELECT 1 AS a; SELECT nope FROM range(2); SELECT 3 AS c", "--format", "json")
    assert found.code == 2
    assert [line["rows"] for line in found.lines] == [[[1]]]
    assert "unknown column nope at line 1, column 23" in found.stderr


class _Failing:
    """A result whose second batch fails."""

    def __init__(self, rows: int) -> None:
        self.kind, self.columns, self.warnings, self.elapsed_s = "select", ["a"], [], 0.5
        self._rows = rows

    def reader(self) -> pa.RecordBatchReader:
        def batches() -> object:
            yield pa.record_batch({"a": ["x" * 1000] * self._rows})
            raise EngineError("the disk is gone")

        return pa.RecordBatchReader.from_batches(pa.schema({"a": pa.string()}), batches())


def test_a_statement_that_fails_while_it_is_read_leaves_no_half_line() -> None:
    out = io.BytesIO()
    with pytest.raises(EngineError):
        formats.JsonLines(out).write(1, _Failing(10))  # type: ignore[arg-type]  # a stand-in
    assert out.getvalue() == b""


def test_a_line_that_was_begun_is_closed_with_its_error() -> None:
    out = io.BytesIO()
    with pytest.raises(EngineError):
        formats.JsonLines(out).write(1, _Failing(10_000))  # type: ignore[arg-type]  # a stand-in
    line = json.loads(out.getvalue())
    assert line["error"] == "the disk is gone"
    assert len(line["rows"]) == 10_000


def test_csv_is_a_header_and_rows_for_each_result(cli: Invoke) -> None:
    found = cli(
        "sql",
        "SET strict_binding = true; SELECT 1 AS a, 'x,y' AS b; SELECT NULL AS c UNION ALL SELECT 2",
        "--format",
        "csv",
    )
    assert found.code == 0, found.stderr
    first, second = found.text.split("\n\n")
    assert list(csv.reader(io.StringIO(first))) == [["a", "b"], ["1", "x,y"]]
    assert sorted(csv.reader(io.StringIO(second))) == [[""], ["2"], ["c"]]


def test_csv_of_a_statement_without_rows_is_its_report(cli: Invoke) -> None:
    found = cli("sql", POINTS, "--format", "csv")
    assert found.text == "table,rows\npoints,60\n"


def test_arrow_is_a_stream_of_the_last_rows(cli: Invoke) -> None:
    text = "SELECT 1 AS a; SELECT id, id * 0.5e0 AS half FROM range(100000); SET strict_binding = true"
    found = cli("sql", text, "--format", "arrow")
    assert found.code == 0, found.stderr
    table = pa.ipc.open_stream(found.stdout).read_all()
    assert table.column_names == ["id", "half"]
    assert table["id"].to_pylist() == list(range(100_000))


def test_arrow_of_a_statement_without_rows_is_its_report(cli: Invoke) -> None:
    found = cli("sql", POINTS, "--format", "arrow")
    assert pa.ipc.open_stream(found.stdout).read_all().to_pydict() == {"table": ["points"], "rows": [60]}


def test_arrow_is_not_written_to_a_terminal(cli: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    found = cli("sql", "SELECT 1 AS a", "--format", "arrow")
    assert found.code == 2
    assert "send it to a file" in found.stderr
    assert found.stdout == b""


def test_a_table_aligns_numbers_right_and_cuts_after_its_rows(cli: Invoke) -> None:
    found = cli("sql", "SELECT id * id AS square, 'x' AS text, NULL AS nothing FROM range(50)", "--rows", "12")
    lines = found.text.splitlines()
    assert lines[0].split() == ["square", "text", "nothing"]
    assert lines[2] == "     0   x      NULL   "
    assert lines[13] == "   121   x      NULL   "
    assert lines[14:] == ["… 38 more rows"]
    assert found.stderr == ""


@pytest.mark.parametrize(("rows", "shown"), [((), 40), (("--rows", "0"), 45), (("--rows", "44"), 44)])
def test_how_many_rows_a_table_shows(cli: Invoke, rows: tuple[str, ...], shown: int) -> None:
    lines = cli("sql", "SELECT id FROM range(45)", *rows).text.splitlines()
    assert len([line for line in lines if line.strip().isdigit()]) == shown
    assert (lines[-1] == f"… {45 - shown} more row{'s' * (shown != 44)}") == (shown != 45)


def test_a_piped_table_is_not_cut_at_the_terminals_width(cli: Invoke) -> None:
    columns = ", ".join(f"'{'v' * 30}{i}' AS column_{i}" for i in range(20))
    found = cli("sql", f"SELECT {columns}")
    assert all(f"{'v' * 30}{i}" in found.text for i in range(20))
    assert "\x1b" not in found.text + found.stderr


def test_a_table_without_rows_says_so(cli: Invoke) -> None:
    assert "(no rows)" in cli("sql", "SELECT 1 AS a WHERE 1 = 0").text


def test_what_statements_without_rows_report(cli: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    text = f"""{POINTS} {MODEL} CREATE VIEW v AS SELECT x FROM points; INSERT INTO points SELECT 1, 2;
        EXPORT MODEL shoppers TO '{file}'; IMPORT MODEL copy FROM '{file}'; SET strict_binding = true;
        DROP MODEL copy; DROP VIEW v; DROP TABLE IF EXISTS nothing; DROP TABLE points"""
    found = cli("sql", text)
    assert found.code == 0, found.stderr
    assert found.text.splitlines() == [
        "table points: 60 rows",
        "model shoppers, version 1",
        "view v",
        "table points: 1 row added",
        f"model shoppers, version 1: {file.stat().st_size:,} bytes in {file}",
        "model copy, version 1",
        "strict_binding = true",
        "dropped model copy: 1 version",
        "dropped view v",
        "nothing to do",
        "dropped table points",
    ]


def test_explain_shows_the_engines_plan_line_by_line(cli: Invoke) -> None:
    found = cli("sql", "EXPLAIN SELECT id FROM range(3)")
    assert found.code == 0, found.stderr
    assert found.text.startswith("-- sql\n")
    assert "\\n" not in found.text


def test_control_characters_cannot_reach_the_terminal(cli: Invoke) -> None:
    found = cli("sql", "SELECT '\\u001b[31mred' AS a, '[bold]b[/bold]' AS b")
    assert "\x1b" not in found.text
    assert "[bold]b[/bold]" in found.text


# -- running ------------------------------------------------------------------------------------


def test_temporary_tables_settings_and_parameters_live_across_files(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE TEMP TABLE t AS SELECT $start_date AS day, '$k' AS k")
    (tmp_path / "b.sql").write_text("SELECT day, k + $k AS k FROM t")
    found = cli("run", "a.sql", "b.sql", "--param", "start_date=2011-10-01", "--param", "k=2", "--format", "json")
    assert found.lines[-1]["rows"] == [["2011-10-01", 4]]
    assert cli("sql", "SELECT * FROM t").code == 2  # it was temporary


def test_into_stores_the_last_result_of_the_last_file(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1 AS a")
    (tmp_path / "b.sql").write_text("SELECT 2 AS b; SELECT 3 AS c;")
    found = cli("run", "a.sql", "b.sql", "--into", "kept", "--format", "json")
    assert [line["kind"] for line in found.lines] == ["select", "select", "create_table"]
    assert cli("sql", "SELECT * FROM kept", "--format", "json").lines[0]["rows"] == [[3]]
    assert cli("sql", "SELECT 4 AS d", "--into", "kept").code == 0
    assert cli("sql", "SELECT * FROM kept", "--format", "json").lines[0]["rows"] == [[4]]


def test_into_needs_a_select_before_anything_runs(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(POINTS)
    found = cli("run", "a.sql", "a.sql", "--into", "kept")
    assert found.code == 2
    assert "need a SELECT as the last statement" in found.stderr
    assert cli("sql", "SHOW TABLES", "--format", "json").lines[0]["rows"] == []


def test_nothing_runs_where_any_file_has_a_syntax_error(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(POINTS)
    (tmp_path / "b.sql").write_text("SELECT 1;\nSELEC 2;")
    found = cli("run", "a.sql", "b.sql")
    assert found.code == 2
    assert "in b.sql, line 2" in found.stderr
    assert "  2 | SELEC 2;\n    | ^\n" in found.stderr
    assert cli("sql", "SHOW TABLES", "--format", "json").lines[0]["rows"] == []


def test_nothing_runs_where_any_file_is_missing(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(POINTS)
    found = cli("run", "a.sql", "b.sql")
    assert (found.code, found.stdout) == (2, b"")
    assert "script b.sql does not exist" in found.stderr
    assert not (tmp_path / "hanse-workspace").exists()


def test_stdin_is_a_script(cli: Invoke) -> None:
    found = cli("run", "-", "--format", "csv", stdin=b"SELECT 'a;b' AS x; -- end")
    assert found.text == "x\na;b\n"


def test_the_shell_runs_what_comes_through_a_pipe(cli: Invoke) -> None:
    found = cli("shell", "--param", "k=41", stdin=b"SELECT $k + 1 AS n;")
    assert found.code == 0
    assert found.text.split() == ["n", "──", "42"]


def test_an_error_names_file_line_and_column_with_a_caret(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n\nSELECT id,\n  ide\nFROM range(3)")
    found = cli("run", "a.sql")
    assert found.code == 2
    assert found.stderr == (
        "error: unknown column ide at line 4, column 3: did you mean id?\n  in a.sql, line 4\n  4 |   ide\n    |   ^\n"
    )


def test_a_missing_parameter_says_how_to_give_it(cli: Invoke) -> None:
    found = cli("sql", "SELECT $day AS d")
    assert found.code == 2
    assert "parameter $day has no value" in found.stderr
    assert "--param day=" in found.stderr


def test_an_unexpected_error_is_one_line(cli: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(hanse, "connect", broken)
    found = cli("sql", "SELECT 1")
    assert found.code == 1
    assert (
        found.stderr
        == "error: internal error: ZeroDivisionError: two lines (HANSE_DEBUG=1 shows where; please report it)\n"
    )
    monkeypatch.setenv("HANSE_DEBUG", "1")
    assert "Traceback" in cli("sql", "SELECT 1").stderr


# -- the workspace ------------------------------------------------------------------------------


def test_the_workspace_is_the_option_or_the_environments_or_the_default(
    cli: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("sql", POINTS)
    assert (tmp_path / "hanse-workspace" / "warehouse.duckdb").is_file()
    monkeypatch.setenv("HANSE_WORKSPACE", str(tmp_path / "other"))
    cli("sql", POINTS)
    assert (tmp_path / "other" / "warehouse.duckdb").is_file()
    cli("sql", POINTS, "-w", tmp_path / "third")
    assert (tmp_path / "third" / "warehouse.duckdb").is_file()


def test_a_workspace_in_memory_leaves_nothing(cli: Invoke, tmp_path: Path) -> None:
    assert cli("sql", POINTS + MODEL, "-w", ":memory:").code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_workspace(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("a file")
    found = cli("sql", "SELECT 1", "-w", "w")
    assert found.code == 1
    assert "is a file: name a folder" in found.stderr


def test_a_workspace_in_a_folder_that_is_not_there(cli: Invoke) -> None:
    found = cli("sql", "SELECT 1", "-w", "no/such/folder")
    assert found.code == 1
    assert "create" in found.stderr


@pytest.mark.parametrize("damage", [b"this is no database, only text" * 500, b"\0" * 20_000])
def test_a_corrupt_warehouse(cli: Invoke, tmp_path: Path, damage: bytes) -> None:
    cli("sql", POINTS, "-w", "w")
    (tmp_path / "w" / "warehouse.duckdb").write_bytes(damage)
    found = cli("sql", "SELECT 1", "-w", "w")
    assert found.code == 1
    assert "warehouse.duckdb cannot be opened as a database" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_corrupt_registry(cli: Invoke, tmp_path: Path) -> None:
    cli("sql", POINTS + MODEL, "-w", "w")
    (tmp_path / "w" / "registry.sqlite").write_bytes(b"this is no database, only text" * 500)
    for found in (cli("models", "-w", "w"), cli("sql", "SHOW MODELS", "-w", "w")):
        assert found.code == 1
        assert "registry.sqlite" in found.stderr


def test_a_memory_limit_and_threads_reach_the_engine(cli: Invoke) -> None:
    assert cli("sql", "SELECT 1 AS a", "--memory-limit", "100MB", "--threads", "1").code == 0


# -- load and models ----------------------------------------------------------------------------


def test_load_prints_the_rows_and_replaces(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,price\n2011-10-01,1.5\n2011-10-02,2.5\n")
    (tmp_path / "b.csv").write_text("price,day\n3.5,2011-10-03\n")
    assert cli("load", "orders", "a.csv").text == "table orders: 2 rows\n"
    assert cli("load", "orders", "a.csv", "b.csv").text == "table orders: 3 rows\n"
    found = cli("sql", "SELECT MAX(day) AS day, SUM(price) AS price FROM orders", "--format", "json")
    assert found.lines[0]["rows"] == [["2011-10-03", 7.5]]
    kept = cli("load", "orders", "a.csv", "--no-replace")
    assert kept.code == 2
    assert "table orders exists already" in kept.stderr


def test_load_takes_json_and_quoted_names(cli: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert cli("load", "my table", "a.json").text == "table my table: 2 rows\n"
    assert cli("sql", "SELECT SUM(a) AS s FROM `my table`", "--format", "csv").text == "s\n3\n"


@pytest.mark.parametrize(
    ("file", "content", "code", "message"),
    [
        ("none.csv", None, 2, "none.csv does not exist"),
        ("a.txt", b"x", 2, "unknown ending .txt"),
        ("a", b"x", 2, "unknown ending (none)"),
        ("a.parquet", b"not parquet at all", 1, "a.parquet"),
        ("a.json", b"{broken", 1, "a.json"),
    ],
)
def test_load_refuses_what_it_cannot_read(
    cli: Invoke, tmp_path: Path, file: str, content: bytes | None, code: int, message: str
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    found = cli("load", "t", file)
    assert found.code == code
    assert message in found.stderr
    assert cli("sql", "SHOW TABLES", "--format", "json").lines[0]["rows"] == []


def test_models_lists_every_version(cli: Invoke) -> None:
    assert cli("sql", POINTS + MODEL).code == 0
    cli("sql", MODEL.replace("CREATE", "UPDATE"))
    (line,) = cli("models", "--format", "json").lines
    assert line["kind"] == "show_models"
    names = [dict(zip(line["columns"], row, strict=True)) for row in line["rows"]]
    assert [(m["name"], m["version"], m["type"], m["rows"]) for m in names] == [
        ("shoppers", 1, "bisecting_kmeans", 60),
        ("shoppers", 2, "bisecting_kmeans", 60),
    ]
    assert names[0]["features"] == "x, y"
    assert "shoppers" in cli("models").text


def test_models_of_an_empty_or_missing_workspace(cli: Invoke) -> None:
    found = cli("models")
    assert found.code == 1
    assert "does not exist" in found.stderr
    cli("sql", "SELECT 1")
    found = cli("models")
    assert (found.code, found.text) == (0, "no models in hanse-workspace: CREATE MODEL makes one\n")
    assert cli("models", "--format", "json").lines[0]["rows"] == []
