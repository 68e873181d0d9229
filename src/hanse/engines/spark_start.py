"""A Spark session of Hanse's own: on this machine, on a cluster, or behind Spark Connect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from hanse.errors import EngineError, UsageError

__all__ = ["OUT_OF_MEMORY_CODE", "SharedSpark", "checked_version", "left_with", "start"]

_OLDEST = (4, 1)
_JAVA = 17
_FIRST_TRIES, _TRIES = 1, 5
"""How often a Spark Connect server that does not answer is asked again: at first once, later for 17 s in all."""
_LEAVES_S = 2.0
OUT_OF_MEMORY_CODE = 52
"""With which Spark's Java leaves where a thread dies of it; org.apache.spark.util.SparkExitCode."""
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.log.structuredLogging.enabled": "false",
}


def checked_version() -> None:
    """Raise UsageError where pyspark is missing, or of a version that Hanse cannot use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pyspark
    except ImportError:
        raise UsageError("engine spark needs pyspark 4: pip install 'hanse[spark]'") from None
    numbers = tuple(int(part) for part in re.findall(r"\d+", pyspark.__version__)[:2])
    if not _OLDEST <= numbers < (5,):
        raise UsageError(
            f"pyspark {pyspark.__version__} is installed, and engine spark needs 4.1 or a later 4: "
            "pip install 'hanse[spark]'"
        )


def start(*, master: str | None, remote: str | None, folder: Path | None, memory_limit: str | None = None) -> Any:
    """A session.

    Args:
        master: as Spark writes it: ``local[2]``, ``yarn``, ``spark://host:7077``.
        remote: a Spark Connect server, ``sc://host:15002``.
        folder: for what Spark writes beside tables: its log, its scratch files.
        memory_limit: the driver's, as ``2GB``.

    Raises:
        UsageError: neither or both are given; pyspark or Java is missing or too old.
        EngineError: Spark does not start, or cannot be reached.
    """
    if (master is None) == (remote is None):
        raise UsageError("engine spark needs one of --master (local[2], yarn ...) and --remote (sc://host:15002)")
    checked_version()
    if remote is not None:
        return _connected(remote)
    _check_java()
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("hanse").master(str(master))
    for key, value in {**_SETTINGS, **_places(folder), **_memory(memory_limit)}.items():
        builder = builder.config(key, value)
    log = (folder or Path(tempfile.gettempdir())) / f"spark-{os.getpid()}.log"
    try:
        with _stderr_to(log), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = builder.getOrCreate()
            session.sparkContext.setLogLevel("OFF")
    except (PySparkException, Py4JError, OSError, RuntimeError) as error:
        told = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        why = next((line for line in told if "xception" in line or "rror" in line), str(error).splitlines()[0])
        raise EngineError(f"Spark does not start on {master} ({why.strip()}): what it printed is in {log}") from None
    log.unlink(missing_ok=True)
    return session


def _places(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {"spark.sql.warehouse.dir": tempfile.mkdtemp(prefix="hanse-spark-")}
    return {"spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.local.dir": str(folder / "scratch")}


def _memory(limit: str | None) -> dict[str, str]:
    if limit is None:
        return {}
    number, unit = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)i?B?\s*", limit, re.IGNORECASE).groups()  # type: ignore[union-attr]
    factor = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[unit.upper()]
    return {"spark.driver.memory": f"{max(int(float(number) * factor) // 2**20, 512)}m"}


@contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings; one thread at a time, or what one sets back another would lose."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_QUIET: Final = threading.Lock()


def _connected(remote: str) -> Any:
    """A session of its own on a server, whatever other session this process has there."""
    from pyspark.errors import PySparkException

    try:
        with _quietly():
            from pyspark.sql.connect.client.retries import DefaultPolicy
            from pyspark.sql.connect.session import SparkSession
    except (ImportError, PySparkException) as error:
        raise UsageError(f"Spark Connect ({remote}) needs its client: pip install 'pyspark[connect]'") from error
    try:
        session = SparkSession(connection=remote)
    except (PySparkException, ValueError) as error:
        raise UsageError(f"remote = {remote!r}: need the address of a Spark Connect server, sc://host:15002") from error
    try:
        with _quietly():
            session.client.set_retry_policies([DefaultPolicy(max_retries=_FIRST_TRIES)])
            _ = session.version
    except PySparkException as error:
        session.client.close()
        why = re.search(r'details = "(.*)"', str(error))
        told = str(error).splitlines()[0] if why is None else why[1]
        raise EngineError(f"no Spark Connect server answers at {remote} ({told})") from None
    session.client.set_retry_policies([DefaultPolicy(max_retries=_TRIES)])
    return session


class SharedSpark:
    """Sessions of their own for those who only read, all of the one Spark that a process can run.

    It is started by the first who needs it and stopped by the last. One that ran already is used, and left running; so
    are its settings, for a session has settings and temporary views of its own.

    Args:
        master: where Spark is started, as Spark writes it; or
        remote: the Spark Connect server that the sessions are of.
        folder: for what Spark writes where it is started here: its log, its scratch files. It is made then.
    """

    _guard: ClassVar = threading.RLock()
    _ours: ClassVar[Any] = None
    _users: ClassVar[set[SharedSpark]] = set()

    def __init__(self, *, master: str | None, remote: str | None, folder: Path) -> None:
        self._master = master
        self._remote = remote
        self._folder = folder

    def session(self) -> Any:
        """A new session; Spark is started anew where it has died.

        Raises:
            UsageError: pyspark or Java is missing, or Spark runs elsewhere already.
            EngineError: Spark does not start, or cannot be reached.
        """
        checked_version()
        if self._remote is not None:
            session = _connected(self._remote)
        else:
            with self._guard:
                session = self._begun()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        return session

    def _begun(self) -> Any:
        from pyspark.sql import SparkSession

        context = _living()
        if context is None:
            _check_java()
            self._folder.mkdir(parents=True, exist_ok=True)
            SharedSpark._ours = start(master=self._master, remote=None, folder=self._folder).sparkContext
            self._users.clear()
        elif context.master != self._master:
            raise UsageError(
                f"Spark runs in this process already, on {context.master} and not on {self._master}: write "
                f"master = '{context.master}', or use a process of its own"
            )
        self._users.add(self)
        return SparkSession.builder.getOrCreate().newSession()

    def close(self) -> None:
        """Let go; the last one stops what was started here."""
        with self._guard:
            if self not in self._users:
                return
            self._users.discard(self)
            context = _living() if self._ours is not None and not self._users else None
            if context is not None and context is self._ours:
                from pyspark.sql import SparkSession

                SparkSession.builder.getOrCreate().stop()
                SharedSpark._ours = None


def _living() -> Any:
    """This process's SparkContext; None where there is none, or where its Java has gone, which is forgotten then."""
    from py4j.protocol import Py4JError
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    context = SparkContext._active_spark_context
    if context is None:
        return None
    with suppress(Py4JError, OSError):
        if context._jsc is not None and not context._jsc.sc().isStopped():
            return context
    with warnings.catch_warnings(), suppress(Py4JError, OSError):
        warnings.simplefilter("ignore")
        context.stop()
    SparkContext._active_spark_context = SparkSession._instantiatedSession = SparkSession._activeSession = None
    gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None
    if gateway is not None:
        with suppress(Py4JError, OSError):
            gateway.shutdown()
    return None


def left_with(session: Any) -> int | None:
    """The exit code of a session's Java, where it ran on this machine and has left, or does so within two seconds."""
    process = getattr(getattr(getattr(session, "_sc", None), "_gateway", None), "proc", None)
    if process is None:
        return None
    with suppress(subprocess.TimeoutExpired):
        return int(process.wait(_LEAVES_S))
    return None


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME is {home}, and has no bin/java" if home else "there is no java in the PATH"
        raise UsageError(f"engine spark needs Java {_JAVA} or later, and {where}: docs/spark.md says how to get it")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', shown)
    if found is not None and int(found.group(1)) < _JAVA:
        raise UsageError(
            f"engine spark needs Java {_JAVA} or later, and {java} is {found.group(1)}: install a later one and set "
            "JAVA_HOME (docs/spark.md says how)"
        )


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Let what is started within print its errors to a file; Java keeps doing so afterwards."""
    sys.stderr.flush()
    kept = os.dup(2)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.dup2(descriptor, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(descriptor)
        os.close(kept)
