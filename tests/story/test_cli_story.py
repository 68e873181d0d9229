"""The command line as a person or a script meets it: real processes, pipes, signals, terminals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from cli_support import HANSE, Invoke, environment, invoker, start

import hanse
from hanse import demo

FINISH_S = 120


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    return invoker(capfdbinary, monkeypatch, tmp_path)


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after ``code``."""
    text = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True, env=environment())
    return set(json.loads(found.stdout.splitlines()[-1]))


HEAVY = {"duckdb", "numpy", "pandas", "polars", "prompt_toolkit", "pyarrow", "rich", "sqlalchemy", "sqlglot", "typer"}


def test_importing_hanse_loads_nothing_heavy() -> None:
    assert loaded_by("import hanse, hanse.errors, hanse.dbapi, hanse.cli") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_the_argument_parser_only(arguments: list[str]) -> None:
    assert loaded_by(f"from hanse.cli.running import run; run({arguments})") & HEAVY == {"typer"}


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("hanse")
    if not script.exists():
        pytest.skip("the package is not installed here, so there is no hanse command")
    found = subprocess.run([script, "--version"], capture_output=True, check=True, cwd=tmp_path, env=environment())
    assert found.stdout.decode() == f"hanse {hanse.__version__}\n"


# -- streams ------------------------------------------------------------------------------------


def test_stdout_and_stderr_are_apart(tmp_path: Path) -> None:
    text = "CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE IF NOT EXISTS t AS SELECT 2 AS a; SELECT nope FROM t"
    process = start(["sql", text, "--format", "json"], tmp_path)
    out, err = process.communicate(timeout=FINISH_S)
    assert process.returncode == 2
    assert [json.loads(line)["kind"] for line in out.splitlines()] == ["create_table", "create_table"]
    assert err.decode().splitlines()[:2] == [
        "warning: table t exists already: left as it is",
        f"error: unknown column nope at line 1, column {text.index('nope') + 1}: valid: a",
    ]


@pytest.mark.parametrize("kind", ["csv", "json", "table", "arrow"])
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, kind: str) -> None:
    text = "SELECT id, CAST(id AS STRING) AS text FROM range(3000000)"
    process = start(["sql", text, "--format", kind, "--rows", "20000"], tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(FINISH_S) == 141
    assert err == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("kind", ["csv", "json", "table", "arrow"])
def test_a_full_disk_under_the_output_is_told_once(tmp_path: Path, kind: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(["sql", "SELECT 1 AS a", "--format", kind], tmp_path, stdout=full)
        _, err = process.communicate(timeout=FINISH_S)
    assert process.returncode == 1
    assert err.decode().count("No space left on device") == 1
    assert err.count(b"\n") == 1


def test_colours_and_progress_are_for_terminals_only(tmp_path: Path) -> None:
    process = start(["sql", SMALL_TRAINING], tmp_path)
    out, err = process.communicate(timeout=FINISH_S)
    assert (process.returncode, err) == (0, b"")
    assert b"\x1b" not in out


# -- Ctrl-C -------------------------------------------------------------------------------------

POINTS = "CREATE TABLE points AS SELECT id % 997 AS x, id * id % 1009 AS y FROM range({rows});"
TRAIN = """CREATE MODEL {name} TRANSFORM (vector_assembler(array(x, y)) AS features)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = {clusters}, SEED = 1) AS SELECT x, y FROM points;"""
SMALL_TRAINING = POINTS.format(rows=1000) + TRAIN.format(name="shoppers", clusters=3)
LONG_TRAINING = POINTS.format(rows=2_000_000) + TRAIN.format(name="endless", clusters=900)
ENDLESS = "SELECT COUNT(*) AS n FROM range(10000000) AS a CROSS JOIN range(10000000) AS b WHERE a.id * b.id = -1"


@contextmanager
def terminal(*arguments: str | Path, folder: Path) -> Iterator[pexpect.spawn]:
    """A command on a terminal of its own."""
    command, *rest = [*HANSE, *(str(argument) for argument in arguments)]
    child = pexpect.spawn(
        command,
        rest,
        cwd=str(folder),
        env=environment(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1"),
        encoding="utf-8",
        timeout=FINISH_S,
        dimensions=(50, 200),
    )
    try:
        yield child
    finally:
        child.close(force=True)


def test_ctrl_c_in_training_leaves_nothing_half_made(tmp_path: Path) -> None:
    with terminal("sql", LONG_TRAINING, "-w", tmp_path / "w", folder=tmp_path) as child:
        child.expect("training: round")
        child.sendintr()
        child.expect("cancelled")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 130
        assert "Traceback" not in child.before
    with hanse.connect(tmp_path / "w") as session:
        assert session.engine.relations() == ["points"]
        assert session.sql("SELECT COUNT(*) AS n FROM points").fetchall() == [(2_000_000,)]
        assert session.sql("SHOW MODELS").fetchall() == []
        session.sql(TRAIN.format(name="endless", clusters=2))


@pytest.mark.parametrize("statement", [ENDLESS, f"CREATE TABLE t AS {ENDLESS}", f"SELECT * FROM ({ENDLESS}) AS q"])
def test_ctrl_c_stops_a_statement_that_gives_no_row(tmp_path: Path, statement: str) -> None:
    text = f"SET strict_binding = true; {statement}"
    with terminal("sql", text, "-w", tmp_path / "w", folder=tmp_path) as child:
        child.expect("strict_binding = true")
        child.sendintr()
        child.expect("cancelled")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 130
    with hanse.connect(tmp_path / "w") as session:
        assert session.engine.relations() == []


def test_an_interrupt_without_a_terminal_ends_with_130(tmp_path: Path) -> None:
    text = f"SELECT 1 AS a; {ENDLESS}"
    # a shell's background jobs ignore the signal, and so may whoever runs the tests
    process = start(
        ["sql", text, "--format", "json"],
        tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"statement":1')
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=FINISH_S)
    assert process.returncode == 130
    assert out == b""
    assert err.startswith(b"error: cancelled")
    assert err.count(b"\n") == 1


def test_a_terminal_sees_progress_and_time(tmp_path: Path) -> None:
    with terminal("sql", SMALL_TRAINING, folder=tmp_path) as child:
        child.expect("new workspace hanse-workspace")
        child.expect("table points: 1,000 rows")
        child.expect(r"[0-9]\.[0-9]{3} s")
        child.expect("model shoppers, version 1")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0


# -- a workspace in use -------------------------------------------------------------------------

HOLDER = """
import sys, hanse
session = hanse.connect(sys.argv[1])
session.sql("CREATE TABLE t AS SELECT 1 AS a")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_workspace_that_another_process_holds(tmp_path: Path, cli: Invoke) -> None:
    assert cli("sql", SMALL_TRAINING, "-w", "w").code == 0
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "w")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        for arguments in (["sql", "SELECT 1"], ["run", "-"], ["load", "t", __file__], ["demo"]):
            found = cli(*arguments, "-w", "w", stdin=b"SELECT 1")
            assert found.code == 1
            assert found.stdout == b""
            assert "is in use by another process: close it there, or use another --workspace" in found.stderr
            assert found.stderr.count("\n") == 1
        assert "shoppers" in cli("models", "-w", "w").text  # the registry is not locked
    assert cli("sql", "SELECT a FROM t", "-w", "w", "--format", "csv").text == "a\n1\n"


# -- the demo -----------------------------------------------------------------------------------


def test_the_demo_tells_the_story_and_can_be_told_again(cli: Invoke, tmp_path: Path) -> None:
    first = cli("demo", "--events", "20000", "-w", "shop")
    assert first.code == 0, first.stderr
    assert first.stderr == ""
    for number, script in enumerate(demo.story(), 1):
        assert f"Step {number} of 9" in first.text
        assert f"[{script.name}]" in first.text
        assert (tmp_path / "shop" / "story" / script.name).read_bytes() == script.read_bytes()
    for heading in ("Who is in which global cluster?", "model global_anomalies, version 1", "frequent_long_lived"):
        assert heading in first.text
    for place in ("shop/story", "shop/warehouse.duckdb", "shop/registry.sqlite", 'hanse sql -w shop "SHOW MODELS"'):
        assert place in first.text
    again = cli("demo", "--events", "20000", "-w", "shop")
    assert again.code == 0, again.stderr
    assert again.text.split("Done in")[0] == first.text.split("Done in")[0]  # the same seed, the same story
    models = cli("models", "-w", "shop", "--format", "json").lines[0]["rows"]
    assert sorted(row[0] for row in models) == ["comfort_wear_anomalies", "global_anomalies", "sporty_style_anomalies"]
    counted = cli("sql", f"SELECT COUNT(*) AS n FROM {demo.EVENTS_TABLE}", "-w", "shop", "--format", "csv")
    assert counted.text == "n\n20000\n"


def test_the_demos_scripts_run_by_hand(cli: Invoke, tmp_path: Path) -> None:
    assert cli("demo", "--events", "5000", "-w", "shop").code == 0
    scripts = sorted((tmp_path / "shop" / "story").glob("*.sql"))
    dates = ["--param", f"start_date={demo.START_DATE}", "--param", f"end_date={demo.END_DATE}"]
    found = cli("run", *scripts, "-w", "shop", *dates, "--format", "json")
    assert found.code == 0, found.stderr
    assert [line["statement"] for line in found.lines] == list(range(1, len(found.lines) + 1))


def test_a_script_that_was_edited_is_kept_and_run(cli: Invoke, tmp_path: Path) -> None:
    assert cli("demo", "--events", "5000", "-w", "shop").code == 0
    script = tmp_path / "shop" / "story" / "03_evaluate_stores.sql"
    script.write_text("-- My own step.\n\n-- The answer.\nSELECT 6 * 7 AS answer;\n")
    found = cli("demo", "--events", "5000", "-w", "shop")
    assert found.code == 0
    assert "03_evaluate_stores.sql was edited: run as it is; delete it to get the original back" in found.stderr
    assert "My own step.  [03_evaluate_stores.sql]" in found.text
    assert "The answer.\nanswer\n──────\n    42\n" in found.text
    script.write_text("SELECT nope FROM range(1)")
    found = cli("demo", "--events", "5000", "-w", "shop")
    assert found.code == 2
    assert "in shop/story/03_evaluate_stores.sql, line 1" in found.stderr


def test_the_demo_does_not_replace_real_events(cli: Invoke) -> None:
    cli("sql", f"CREATE TABLE {demo.EVENTS_TABLE} AS SELECT 1 AS real", "-w", "shop")
    found = cli("demo", "--events", "5000", "-w", "shop")
    assert found.code == 2
    assert "that the demo did not make: choose another folder" in found.stderr
    assert cli("sql", f"SELECT * FROM {demo.EVENTS_TABLE}", "-w", "shop", "--format", "csv").text == "real\n1\n"
