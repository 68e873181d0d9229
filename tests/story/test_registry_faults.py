"""The registry under real processes: killed anywhere, racing, locked, out of disk, corrupt, out of reach."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hanse.errors import ModelNotFoundError, WorkspaceError
from hanse.registry import Registry

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits are those of POSIX")

HELPERS = """
import datetime, json, os, resource, signal, sys
import sqlalchemy as sa
from hanse.artifact import Artifact
from hanse.errors import HanseError, ModelExistsError, WorkspaceError
from hanse.registry import Registry

def artifact(rows, floats=6000):
    return Artifact(
        model_type="kmeans", options={}, transforms=(), features=("a",), fields=("a",), training={},
        model={"x": [rows + 0.1] * floats}, source_sql="SELECT 1", row_count=rows,
        created_at="2026-01-01T00:00:00Z", created_by="ada", hanse_version="0.1.0",
    )

def open_registry(path, **options):
    clock = lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return Registry.open(path, clock=clock, **options)

CHANGES = {
    "open": lambda r: None,
    "create": lambda r: r.create("new", artifact(9)),
    "replace": lambda r: r.replace("m", artifact(9)),
    "update": lambda r: r.update("m", artifact(9)),
    "drop one": lambda r: r.drop("m", 1),
    "drop all": lambda r: r.drop("m"),
}

def say(line):
    print(line, flush=True)

def hear():
    return sys.stdin.readline().strip()
"""

State = list[tuple[str, int, int]]


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HELPERS + script, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def started(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HELPERS + script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def state_of(path: Path) -> State:
    """What a new process would find, with SQLite itself as the referee of the file."""
    with Registry.open(path) as registry:
        found = []
        for info in registry.list():
            artifact = registry.load(info.name, info.version)[1]
            assert artifact.row_count == info.row_count
            assert artifact.model["x"] == [info.row_count + 0.1] * len(artifact.model["x"])
            found.append((info.name, info.version, info.row_count))
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()
    return found


OLD: State = [("m", 1, 1), ("m", 2, 2), ("other", 1, 3)]
NEW: dict[str, State] = {
    "create": [*OLD[:2], ("new", 1, 9), OLD[2]],
    "replace": [OLD[0], ("m", 2, 9), OLD[2]],
    "update": [*OLD[:2], ("m", 3, 9), OLD[2]],
    "drop one": OLD[1:],
    "drop all": OLD[2:],
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "registry.sqlite"
    run(
        """
with open_registry(sys.argv[1]) as registry:
    registry.create("m", artifact(1))
    registry.update("m", artifact(2))
    registry.create("other", artifact(3))
""",
        str(path),
    )
    assert state_of(path) == OLD
    return path


# killed at any point

DIE_OFTEN = """
import shutil
base, folder, change, way = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(registry, point):
    engine = registry._database.engine
    if way == "statement":
        seen = iter(range(10_000))
        sa.event.listen(engine, "before_cursor_execute", lambda *_: die() if next(seen) == point else None)
    if way == "commit":
        commits = iter(range(10_000))
        sa.event.listen(engine, "commit", lambda *_: die() if next(commits) == point else None)
    if way == "spill":  # a cache of one page: the file is half rewritten long before the commit
        sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA cache_size = 1"))
        commits = iter(range(10_000))
        sa.event.listen(engine, "commit", lambda *_: die() if next(commits) == point else None)
    if way == "write":  # the kernel kills it in the very write that passes the limit, torn pages included
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (point * 2900, point * 2900))

for point in range(1000):
    path = os.path.join(folder, f"{point}.sqlite")
    shutil.copy(base, path)
    registry = open_registry(path)
    child = os.fork()
    if child == 0:
        arm(registry, point)
        CHANGES[change](registry)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    say(json.dumps([path, status, os.path.exists(path + "-journal")]))
    if status >= 0:
        break
"""


@pytest.mark.parametrize("way", ["statement", "commit", "spill", "write"])
@pytest.mark.parametrize("change", list(NEW))
def test_a_kill_at_any_point_leaves_the_old_or_the_new_state(base: Path, tmp_path: Path, change: str, way: str) -> None:
    lines = run(DIE_OFTEN, str(base), str(tmp_path), change, way).splitlines()
    *killed, (last, status, _) = [json.loads(line) for line in lines]
    assert status == 0, "the last process was to live"
    assert state_of(Path(last)) == NEW[change]
    assert killed, "no process was killed"
    assert {status for _, status, _ in killed} == {-signal.SIGXFSZ if way == "write" else -signal.SIGKILL}
    for path, _, _ in killed:
        assert state_of(Path(path)) in (OLD, NEW[change])
    if way in ("spill", "write") and not change.startswith("drop"):
        assert any(journal for _, _, journal in killed), "no kill left a journal to recover from"


DIE_OPENING = """
(path, limit) = sys.argv[1:]
for limit in range(0, 100_000, 700):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        open_registry(path).close()
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
    say(limit)
"""


def test_kills_while_a_registry_is_made_leave_one_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    killed = run(DIE_OPENING, str(path), "0").split()
    assert len(killed) > 5
    assert state_of(path) == []


HOLD = """
registry = open_registry(sys.argv[1])
with registry._database.writing() as connection:
    connection.execute(sa.text("DELETE FROM hanse_model"))
    say("inside")
    hear()
say("kept")
hear()
"""


def test_a_reader_sees_the_old_state_a_writer_waits_and_a_kill_frees_the_lock(base: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(base, tmp_path / "registry.sqlite"))
    with started(HOLD, str(path)) as process, Registry.open(path, timeout_s=0.05) as registry:
        assert heard(process) == "inside"
        assert [(i.name, i.version, i.row_count) for i in registry.list()] == OLD
        message = rf"registry {path} is locked by another process \(waited 0\.05 s\): let it finish"
        with pytest.raises(WorkspaceError, match=message) as refused:
            registry.drop("other")
        assert refused.value.__cause__ is None
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert registry.drop("other") == 1
    assert state_of(path) == OLD[:2]


def test_a_writer_waits_for_another_that_finishes(base: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(base, tmp_path / "registry.sqlite"))
    with started(HOLD, str(path)) as process, Registry.open(path, timeout_s=60) as registry:
        assert heard(process) == "inside"
        tell(process)
        with pytest.raises(ModelNotFoundError, match="no model m: there are no models yet"):
            registry.drop("m")
        assert heard(process) == "kept"


# racing

RACE = """
registry = open_registry(sys.argv[1])
assert not registry.exists("m")
say("ready")
hear()
try:
    say(f"created {registry.create('M', artifact(int(sys.argv[2]))).version}")
except ModelExistsError as error:
    say(error)
"""


def test_of_many_processes_that_create_one_name_exactly_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with ExitStack() as stack:
        racers = [stack.enter_context(started(RACE, str(path), str(n))) for n in range(4)]
        assert [heard(racer) for racer in racers] == ["ready"] * 4
        for racer in racers:
            tell(racer)
        outcomes = [heard(racer) for racer in racers]
    assert outcomes.count("created 1") == 1
    lost = {outcome for outcome in outcomes if outcome != "created 1"}
    assert lost == {
        "model M was created meanwhile by another process: use CREATE OR REPLACE MODEL to replace its latest "
        "version, or UPDATE MODEL to add a version"
    }
    assert state_of(path) == [("M", 1, outcomes.index("created 1"))]


OPEN_RACE = """
say("ready")
hear()
with open_registry(sys.argv[1]) as registry:
    for _ in range(5):
        registry.replace("m", artifact(1))
        registry.update("m", artifact(1))
say("done")
"""


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    with ExitStack() as stack:
        racers = [stack.enter_context(started(OPEN_RACE, str(path))) for _ in range(3)]
        assert [heard(racer) for racer in racers] == ["ready"] * 3
        for racer in racers:
            tell(racer)
        assert [heard(racer) for racer in racers] == ["done"] * 3
    assert [version for _, version, _ in state_of(path)] == list(range(1, 17))


# out of disk

FILL = """
import shutil
(base, folder, change) = sys.argv[1:]
for point in range(1000):
    path = os.path.join(folder, f"{point}.sqlite")
    shutil.copy(base, path)
    with open_registry(path) as registry:
        before = [(i.name, i.version, i.row_count) for i in registry.list()]
        resource.setrlimit(resource.RLIMIT_FSIZE, (point * 5000, resource.RLIM_INFINITY))
        try:
            CHANGES[change](registry)
        except WorkspaceError as error:
            message = str(error)
        else:
            message = ""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if message:
            say(json.dumps([message, [(i.name, i.version, i.row_count) for i in registry.list()] == before]))
            CHANGES[change](registry)  # once there is room again, the same registry carries on
    if not message:
        break
"""


@pytest.mark.parametrize("change", list(NEW))
def test_a_change_that_does_not_fit_changes_nothing(base: Path, tmp_path: Path, change: str) -> None:
    refusals = [json.loads(line) for line in run(FILL, str(base), str(tmp_path), change).splitlines()]
    assert refusals, "no write was refused"
    for message, unchanged in refusals:
        assert unchanged, message
        assert message.startswith(f"registry {tmp_path}/")
        assert "free some space" in message
    for path in tmp_path.glob("*.sqlite"):
        assert state_of(path) == NEW[change]


FILL_PAGES = """
import sqlalchemy as sa
with open_registry(sys.argv[1]) as registry:
    full = lambda raw, _: raw.execute("PRAGMA max_page_count = 1")
    sa.event.listen(registry._database.engine, "connect", full)
    registry._database.engine.dispose()  # the connection that is kept would not hear of it
    try:
        registry.create("new", artifact(9, floats=100_000))
    except WorkspaceError as error:
        say(error)
"""


def test_a_full_disk_is_named(base: Path, tmp_path: Path) -> None:
    path = shutil.copy(base, tmp_path / "registry.sqlite")
    assert run(FILL_PAGES, str(path)).strip() == (
        f"registry {path} cannot grow, the disk is full: free some space and try again; nothing was changed"
    )
    assert state_of(Path(path)) == OLD


# corrupt, in the way, out of reach


@pytest.mark.parametrize("length", [10, 100, 512, 4096, 10_000, -5000])
def test_a_truncated_registry_is_refused_and_left_alone(base: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_bytes(base.read_bytes()[:length])
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=rf"registry {path} is .*corrupt.*: restore it from a backup, or move"):
        Registry.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("size", [2, 1000, 100_000])
def test_random_bytes_are_refused_and_left_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_bytes(random.Random(size).randbytes(size))
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=rf"registry {path} is not a registry \(corrupt, or") as refused:
        Registry.open(path)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert path.read_bytes() == before


def test_a_registry_that_goes_bad_while_open_is_refused(base: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(base, tmp_path / "registry.sqlite"))
    with Registry.open(path) as registry:
        path.write_bytes(b"no longer a database " * 1000)
        for use in (registry.list, lambda: registry.drop("m"), lambda: registry.load("m")):
            with pytest.raises(WorkspaceError, match="corrupt"):
                use()


def test_places_where_no_registry_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    cases: dict[Any, str] = {
        tmp_path / "folder": "cannot be opened: it is a folder",
        tmp_path / "file" / "registry.sqlite": "is a file, not a folder: choose another path",
        tmp_path / "no" / "registry.sqlite": r"there is no folder .*/no: create it first",
        tmp_path / ("x" * 300): "cannot be opened",
        "a\0b": "need the path of a file",
    }
    if Path("/proc").is_dir():
        cases["/proc/registry.sqlite"] = "cannot be opened: its folder or file is not writable"
    for path, message in cases.items():
        with pytest.raises(WorkspaceError, match=message):
            Registry.open(path)


AS_NOBODY = """
path = sys.argv[1]
if os.geteuid() == 0:
    try:
        os.seteuid(65534)
    except OSError:
        say("cannot")
        sys.exit()
try:
    with open_registry(path) as registry:
        say([(i.name, i.version, i.row_count) for i in registry.list()])
        registry.drop("m")
except WorkspaceError as error:
    say(error)
"""


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "listed", "message"),
    [
        (0o444, 0o555, True, "is read-only (its file or its folder): change permissions"),
        (0o666, 0o555, True, "is read-only (its file or its folder): change permissions"),
        (0o000, 0o555, False, "its folder or file is not writable: change the permissions"),
        (None, 0o555, False, "its folder or file is not writable: change the permissions"),
    ],
)
def test_without_write_permission(
    base: Path, file_mode: int | None, folder_mode: int, listed: bool, message: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="hanse-test-") as name:
        folder = Path(name)
        path = folder / "registry.sqlite"
        if file_mode is not None:
            shutil.copy(base, path)
            path.chmod(file_mode)
        folder.chmod(folder_mode)
        lines = run(AS_NOBODY, str(path)).splitlines()
        folder.chmod(0o755)
        if lines == ["cannot"]:
            pytest.skip("root may not become nobody here, and permission bits do not bind root")
        assert lines[:-1] == ([str(OLD)] if listed else [])
        assert lines[-1].startswith(f"registry {path} ")
        assert message in lines[-1]
        if file_mode is not None:
            path.chmod(0o644)
            assert state_of(path) == OLD
