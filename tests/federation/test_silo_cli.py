"""What a silo's owner types: ledger, preview, installs, policy check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from federation_support import Broker, Lines, second_coordinator
from silo_support import blobs, fill, new_run, silo_toml, task

from hanse.cli.silo import app
from hanse.errors import UsageError, WorkspaceError
from hanse.federation.audit import entries_of, verify
from hanse.federation.config import SiloConfig
from hanse.federation.silo import Silo
from hanse.transports.nats import Nats
from hanse.transports.settings import CoordinatorSettings


def run(*arguments: str) -> None:
    app(args=list(arguments), prog_name="hanse silo", standalone_mode=False)()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A silo that was asked three times, and still runs."""
    fill(tmp_path / "shop.duckdb", blobs([60, 40, 4]))
    path = silo_toml(tmp_path)
    with Silo(SiloConfig.load(path)) as silo:
        run = new_run()
        silo.answer(task("moments", run))
        silo.answer(task("summarize", run, payload={"clusters": 3}))
        silo.answer(task("moments", run, relation="secrets"))
        yield path


def test_the_ledger_is_shown_and_verified_while_the_silo_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("ledger", "--config", str(config))
    shown = capsys.readouterr().out
    assert "released" in shown
    assert "schema" in shown
    run("ledger", "--config", str(config), "--format", "json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["decision"] for line in lines] == ["released", "released", "refused"]
    assert json.loads(lines[0]["payload"])["statistics"]["count"] == 104
    run("ledger", "--config", str(config), "--verify", "--head", lines[2]["previous"])
    assert "3 entries, chain and head agree" in capsys.readouterr().out


def test_a_ledger_that_was_changed_does_not_verify(config: Path) -> None:
    path = config.parent / "shop.ledger"
    path.write_bytes(path.read_bytes().replace(b'"cells":1', b'"cells":9', 1))
    with pytest.raises(WorkspaceError, match="line 1: the entry was changed") as caught:
        run("ledger", "--config", str(config), "--verify")
    assert caught.value.exit_code == 1
    with pytest.raises(WorkspaceError, match="head abc of a reply"):
        run("ledger", "--config", str(config), "--head", "abc")


def test_a_preview_shows_sizes_and_leaves_no_trace(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (config.parent / "shop.ledger").read_bytes()
    run("preview", "--config", str(config), "--format", "json")
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (found["rows"], found["customers"]) == (104, 104)
    assert found["verdicts"] == {"moments": "leaves", "summarize": "leaves"}
    assert sum(cell["customers"] for cell in found["cells"]) == 104
    assert min(cell["customers"] for cell in found["cells"]) == 4
    run("preview", "--config", str(config), "--relation", "features", "--clusters", "2")
    assert "leaves as" in capsys.readouterr().out
    assert (config.parent / "shop.ledger").read_bytes() == before
    assert list((config.parent / "shop.silo" / "snapshots").glob("*.new")) == []
    with pytest.raises(UsageError, match="did you mean features"):
        run("preview", "--config", str(config), "--relation", "featurs")


def test_a_preview_says_what_would_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "shop.duckdb", np.array([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]))
    run("preview", "--config", str(silo_toml(tmp_path)))
    assert "summarize: small" in capsys.readouterr().out


def test_the_policy_is_told_in_plain_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("policy", "check", "--config", str(config))
    shown = capsys.readouterr().out
    assert "columns x, y; protects each customer_id" in shown
    assert "no bounds on x, y" in shown
    assert "at least 10 distinct customers" in shown
    with pytest.raises(UsageError, match="need a whole number of 3 or more"):
        run("policy", "check", "--config", str(silo_toml(config.parent, "min_customers = 1")))


def test_nothing_waits_and_nothing_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(silo_toml(tmp_path))
    run("installs", "--config", path)
    run("ledger", "--config", path)
    assert "nothing was asked" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"no model league\.g waits"):
        run("installs", "--config", path, "--accept", "league.g")


def test_a_silo_without_a_broker_cannot_serve(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no table \[federation\]"):
        run("serve", "--config", str(silo_toml(tmp_path)))


SERVE = "import sys; from hanse.cli.silo import app; app(args=sys.argv[1:], standalone_mode=False)()"


def start(config: Path, script: str = SERVE) -> tuple[subprocess.Popen[str], Lines]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", "--config", str(config)], stderr=subprocess.PIPE, text=True
    )
    return process, Lines(process.stderr)


def publishing(league: Path) -> Path:
    """Silo a's file, with 100 rows to publish."""
    fill(league / "a" / "a.duckdb", blobs([60, 40]))
    config = league / "a" / "silo.toml"
    publish = '[publish.features]\nrelation = "features"\ncustomer = "customer_id"\ncolumns = ["x", "y"]\n'
    config.write_text(f"{config.read_text()}\n{publish}")
    return config


def test_a_silo_that_is_served_answers_over_the_broker_and_again_after_a_kill(
    league: Path, broker: Broker, coordinator: Nats
) -> None:
    config = publishing(league)
    asked = task("moments", new_run(), silo="a")
    replies = []
    for _ in range(2):
        process, log = start(config)
        log.wait("silo a is ready")
        replies += list(coordinator.ask({"a": asked}, 30))
        asked = task("moments", asked.run, silo="a")  # the same plan with another nonce, as a coordinator retries
        process.kill()
        process.wait()
    assert replies[0].statistics["count"] == 100
    assert replies[0] == replies[1]
    assert verify(league / "a" / "a.ledger", (replies[0].ledger_head,)).problems == ()
    (entry,) = entries_of(league / "a" / "a.ledger")
    assert entry.coordinator == str(
        CoordinatorSettings.load(league / "coordinator.toml").connection.own_identity().public
    )


def test_the_ledger_says_which_of_two_coordinators_asked(league: Path, broker: Broker, coordinator: Nats) -> None:
    publishing(league)
    settings = second_coordinator(league, "a")
    process, log = start(league / "a" / "silo.toml")
    log.wait("silo a is ready")
    asked = task("moments", new_run(), silo="a")
    other = Nats(settings)
    try:
        replies = [reply for way in (coordinator, other, coordinator) for reply in way.ask({"a": asked}, 30)]
    finally:
        other.close()
        process.kill()
        process.wait()
    assert replies[0] == replies[2]
    assert replies[0].statistics == replies[1].statistics
    first, second = entries_of(league / "a" / "a.ledger")  # the third is the first again
    assert first.coordinator == str(
        CoordinatorSettings.load(league / "coordinator.toml").connection.own_identity().public
    )
    assert second.coordinator == str(settings.connection.own_identity().public)
    assert (first.decision, second.decision) == ("released", "repeated")


def test_a_served_silo_stops_when_it_is_told_to(league: Path, broker: Broker) -> None:
    process, log = start(league / "a" / "silo.toml")
    log.wait("publishes nothing yet")
    log.wait("silo a is ready")
    process.terminate()
    assert process.wait() == 0
