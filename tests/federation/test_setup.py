"""hanse federation init, add, rotate, revoke, rehome: what they write, and that a real broker obeys."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from federation_support import WAIT_S, Broker, Serving, free_port, names, nats_server, task, until
from typer.testing import CliRunner

from hanse.errors import TransportError, UsageError
from hanse.federation import setup
from hanse.federation.config import SiloConfig
from hanse.transports.keys import Identity
from hanse.transports.nats import Nats
from hanse.transports.settings import ConnectionSettings, CoordinatorSettings

FILES = {"ca.pem", "certificate.pem", "certificate.key", "identity.key"}


def _table(league, silo):
    return tomllib.loads((league / silo / "silo.toml").read_text())["federation"]


def test_init_makes_all_files(league):
    made = {str(path.relative_to(league)) for path in league.rglob("*") if path.is_file()}
    assert made == {
        "federation.json",
        "coordinator.toml",
        *(
            f"broker/{name}"
            for name in ("nats.conf", "paths.conf", "parties.conf", "ca.pem", "server.pem", "server.key")
        ),
        "ca/ca.pem",
        "ca/ca.key",
        *(f"{party}/{name}" for party in ("a", "b", "coordinator") for name in FILES),
        "a/silo.toml",
        "b/silo.toml",
    }
    assert [path.name for path in league.parent.iterdir()] == ["league"]  # nothing half-made is left


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_secrets_are_for_their_owner_only(league):
    for path in [league, *league.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        if path.suffix == ".key":
            assert mode == 0o600, path
    text = "".join(path.read_text() for path in league.rglob("*") if path.is_file() and path.suffix != ".key")
    assert "hanse-secret-key:" not in text
    assert "PRIVATE KEY" not in text


def test_a_silo_file_is_whole_and_publishes_nothing(league):
    table = tomllib.loads((league / "a" / "silo.toml").read_text())
    assert set(table) == {"name", "database", "federation"}
    assert (table["name"], table["database"]) == ("a", "a.duckdb")
    settings = ConnectionSettings.from_table(table["federation"], league / "a")
    assert settings.identity == league / "a" / "identity.key"
    coordinator = Identity.load(league / "coordinator" / "identity.key").public
    assert settings.coordinators == (coordinator,)
    assert settings.subject == "a"
    commented = (league / "a" / "silo.toml").read_text()
    for section in ("[publish.customer_features]", "[policy]"):  # what is commented out is TOML as well
        start = commented.index(f"# {section}")
        block = commented[start:].split("\n\n")[0]
        assert tomllib.loads("\n".join(line.removeprefix("# ") for line in block.splitlines()))


def test_the_agent_reads_the_file(league):
    config = SiloConfig.load(league / "a" / "silo.toml")
    assert (config.name, dict(config.publish)) == ("a", {})
    assert ConnectionSettings.from_table(config.federation, league / "a").subject == "a"


def test_the_coordinators_file_names_the_silos(league):
    settings = CoordinatorSettings.load(league / "coordinator.toml")
    assert {name: str(key) for name, key in settings.silos.items()} == {
        name: str(Identity.load(league / name / "identity.key").public) for name in ("a", "b")
    }
    assert settings.connection.subject == "coordinator"


def test_certificates_say_who_they_are_for(tmp_path):
    setup.init(tmp_path / "league", ["a"], host="broker.example.org")
    server = x509.load_pem_x509_certificate((tmp_path / "league/broker/server.pem").read_bytes())
    names_ = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "broker.example.org" in names_.get_values_for_type(x509.DNSName)
    silo = x509.load_pem_x509_certificate((tmp_path / "league/a/certificate.pem").read_bytes())
    (uri,) = silo.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.UniformResourceIdentifier
    )
    assert uri.startswith("urn:hanse:a:")
    assert f'"{uri}"' in (tmp_path / "league/broker/parties.conf").read_text()
    assert 'listen: "0.0.0.0:4222"' in (tmp_path / "league/broker/nats.conf").read_text()
    assert _table(tmp_path / "league", "a")["server"] == "tls://broker.example.org:4222"


def test_an_address_of_version_6(tmp_path):
    setup.init(tmp_path / "league", ["a"], host="::1", port=4333)
    assert _table(tmp_path / "league", "a")["server"] == "tls://[::1]:4333"
    assert 'listen: "[::1]:4333"' in (tmp_path / "league/broker/nats.conf").read_text()


def test_the_broker_accepts_what_was_written_from_any_directory(league, tmp_path):
    server = nats_server()
    for directory in (tmp_path, Path("/"), league / "broker"):
        command = [server, "-t", "-c", str(league / "broker" / "nats.conf")]
        checked = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_a_broker_that_moved_is_rehomed(league, serving, coordinator, tmp_path):
    nats_server()
    (league / "broker").rename(tmp_path / "elsewhere")
    done = setup.rehome(tmp_path / "elsewhere")
    assert done.steps == (f"start it:  nats-server -c {tmp_path / 'elsewhere' / 'nats.conf'}",)
    broker = Broker(tmp_path / "elsewhere" / "nats.conf").start()
    try:
        serving("a").ready()
        assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]
    finally:
        broker.kill()
    with pytest.raises(UsageError, match=r"no nats\.conf here nor in broker/"):
        setup.rehome(tmp_path)


@pytest.mark.parametrize(
    ("silos", "options", "message"),
    [
        ([], {}, r"--silos is empty: name them: --silos a,b,c"),
        ([""], {}, r"silo '': need a letter"),
        (["a", "b b"], {}, r"silo 'b b': need a letter, then letters, digits, _ or -, 63 at most"),
        (["a.b"], {}, r"silo 'a\.b'"),
        (["*"], {}, r"silo '\*'"),
        (["../x"], {}, r"silo '\.\./x'"),
        (["größe"], {}, r"silo 'größe'"),
        (["a" * 64], {}, r"63 at most"),
        (["a", "b", "A"], {}, r"silo A is named twice \(case does not count\)"),
        (["Broker"], {}, r"silo Broker: the name is taken by the federation itself"),
        (["coordinator"], {}, r"the name is taken"),
        (["a"], {"port": 0}, r"--port 0: need 1 to 65535"),
        (["a"], {"port": 65536}, r"--port 65536: need 1 to 65535"),
        (["a"], {"host": "0.0.0.0"}, r"--host 0\.0\.0\.0: need the name or address that silos dial"),
        (["a"], {"host": ""}, r"--host ''"),
        (["a"], {"host": 'x"y'}, r"--host 'x\"y'"),
        (["a"], {"host": "300.1.2.3"}, r"--host '300\.1\.2\.3'"),
        (["a"], {"host": "tls://x"}, r"--host 'tls://x'"),
    ],
)
def test_init_refuses_what_cannot_be(tmp_path, silos, options, message):
    with pytest.raises(UsageError, match=message):
        setup.init(tmp_path / "league", silos, **options)
    assert not (tmp_path / "league").exists()


def test_init_overwrites_nothing(league, tmp_path):
    before = {path: path.read_bytes() for path in league.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"exists already and is not empty; nothing is overwritten"):
        setup.init(league, ["a", "b"])
    assert {path: path.read_bytes() for path in league.rglob("*") if path.is_file()} == before
    with pytest.raises(UsageError, match=r"cannot be made: create .*/none first"):
        setup.init(tmp_path / "none" / "league", ["a"])
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        setup.init(tmp_path / "file", ["a"])
    (tmp_path / "empty").mkdir()
    setup.init(tmp_path / "empty", ["a"])
    assert (tmp_path / "empty" / "a" / "silo.toml").is_file()


def test_a_rotated_silo_works_with_its_new_keys_only(league, broker, connection, serving):
    old_files = league.parent / "old"
    (league / "a").rename(old_files)
    (league / "a").mkdir(mode=0o700)
    for path in old_files.iterdir():
        target = league / "a" / path.name
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    old = ConnectionSettings.from_table(_table(league, "a"), old_files)
    outdated = CoordinatorSettings.load(league / "coordinator.toml")
    running = Serving(old).ready()
    try:
        done = setup.rotate(league, "a")
        assert done.summary.startswith("a: new keys and certificate, good until 20")
        assert any("identity.key" in step for step in done.steps)
        broker.reload()
        until(lambda: any("does not know the certificate" in line for line in running.lines))
    finally:
        running.stop()
    with pytest.raises(TransportError, match=r"does not know the certificate .*: it was rotated or revoked"):
        _serve_and_stop(old)
    silo = serving("a").ready()
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"))
    stale = Nats(outdated)
    try:
        assert names(list(transport.ask({"a": task("a")}, WAIT_S))) == ["a"]
        assert list(stale.ask({"a": task("a", 1)}, 0.5)) == []  # sealed to a key that is no more
        assert silo.diagnostics.counts["receiver"] >= 1
        assert len(silo.answered) == 1
    finally:
        transport.close()
        stale.close()


def _serve_and_stop(settings):
    silo = Serving(settings)
    try:
        silo.ready()
    finally:
        silo.stop()


def test_a_revoked_silo_is_out(league, broker, connection, serving):
    running = serving("a").ready()
    other = serving("b").ready()
    done = setup.revoke(league, "a")
    assert done.summary == "a: revoked"
    broker.reload()
    until(lambda: any("does not know the certificate" in line for line in running.lines))
    assert set(CoordinatorSettings.load(league / "coordinator.toml").silos) == {"b"}
    assert ":a:" not in (league / "broker" / "parties.conf").read_text()
    assert other.diagnostics.counts["connected"] == 1
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"))
    try:
        assert names(list(transport.ask({"b": task("b")}, WAIT_S))) == ["b"]
    finally:
        transport.close()
    with pytest.raises(UsageError, match=r"--party a: no such party \(revoked\? hanse federation add .* --silos a\)"):
        setup.rotate(league, "a")


def test_a_rotated_coordinator_is_trusted_and_its_old_key_is_not(league, broker, serving):
    stale_file = (league / "coordinator" / "identity.key").rename(league / "stale.key")
    setup.rotate(league, "coordinator")
    broker.reload()
    assert str(Identity.load(stale_file).public) not in (league / "a" / "silo.toml").read_text()
    silo = serving("a").ready()
    settings = CoordinatorSettings.load(league / "coordinator.toml")
    transport = Nats(settings)
    stale = Nats(
        dataclasses.replace(settings, connection=dataclasses.replace(settings.connection, identity=stale_file))
    )
    try:
        assert names(list(transport.ask({"a": task("a")}, WAIT_S))) == ["a"]
        assert list(stale.ask({"a": task("a", 1)}, 0.5)) == []
        assert silo.diagnostics.counts["unknown"] >= 1
        assert len(silo.answered) == 1
    finally:
        transport.close()
        stale.close()


def test_a_revoked_coordinator_is_answered_by_nobody_until_it_is_rotated(league, connection):
    setup.revoke(league, "coordinator")
    assert _table(league, "a")["coordinators"] == []
    assert "coordinator" not in (league / "broker" / "parties.conf").read_text()
    with pytest.raises(UsageError, match=r"coordinators is empty: name the public key of one"):
        connection("a").trusted_coordinators()
    with pytest.raises(UsageError, match="was revoked already"):
        setup.revoke(league, "coordinator")
    with pytest.raises(UsageError, match=r"rotate .* --party coordinator first"):
        setup.add(league, ["c"])
    setup.rotate(league, "coordinator")
    new = str(Identity.load(league / "coordinator" / "identity.key").public)
    assert _table(league, "a")["coordinators"] == [new]


def test_a_silo_can_join_later(league, broker, serving):
    setup.add(league, ["c"])
    broker.reload()
    serving("c").ready()
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"))
    try:
        assert transport.silos() == ["a", "b", "c"]
        assert names(list(transport.ask({"c": task("c")}, WAIT_S))) == ["c"]
    finally:
        transport.close()
    with pytest.raises(UsageError, match="silo C is in the federation already"):
        setup.add(league, ["C"])


def test_the_brokers_certificate_can_be_rotated(league):
    before = (league / "broker" / "server.pem").read_bytes()
    assert setup.rotate(league, "broker").summary.startswith("broker: new certificate, good until")
    assert (league / "broker" / "server.pem").read_bytes() != before
    with pytest.raises(UsageError, match="the broker cannot be revoked"):
        setup.revoke(league, "broker")


def test_what_a_person_wrote_stays(league):
    silo, coordinator = league / "a" / "silo.toml", league / "coordinator.toml"
    extra = "keep = 1  # a person's comment\n"
    silo.write_text(silo.read_text().replace("[federation]", f"{extra}[federation]"))
    coordinator.write_text(coordinator.read_text().replace("[silos]", "[silos]  # whom we know"))
    setup.rotate(league, "coordinator")
    setup.rotate(league, "a")
    assert extra in silo.read_text()
    text = coordinator.read_text()
    assert "# whom we know" in text
    assert f'a = "{Identity.load(league / "a" / "identity.key").public}"' in text
    assert text.count('\nb = "') == 1


def test_files_that_are_elsewhere_are_named_with_what_to_write(league):
    (league / "coordinator.toml").unlink()
    steps = setup.rotate(league, "a").steps
    key = Identity.load(league / "a" / "identity.key").public
    assert any(f'write under [silos]: a = "{key}"' in step for step in steps)
    (league / "a" / "silo.toml").unlink()
    steps = setup.rotate(league, "coordinator").steps
    key = Identity.load(league / "coordinator" / "identity.key").public
    assert any(f"silo a: the coordinator's key is now {key}" in step for step in steps)


def test_no_federation_and_no_authority(league, tmp_path):
    with pytest.raises(UsageError, match=r"holds no federation \(no federation\.json\): hanse federation init"):
        setup.rotate(tmp_path, "a")
    with pytest.raises(UsageError, match=r"--party x: no such party: valid: a, b, broker, coordinator"):
        setup.rotate(league, "x")
    (league / "ca" / "ca.key").unlink()
    with pytest.raises(UsageError, match="do this where it is kept"):
        setup.rotate(league, "a")
    (league / "federation.json").write_text("{}")
    with pytest.raises(UsageError, match=r"federation\.json cannot be read: .*: restore it from a backup"):
        setup.revoke(league, "a")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, r"\[federation\] server is missing: write server = \"\.\.\.\""),
        ({"server": 1}, r"server = 1: need a text in quotes"),
        ({"server": "nats://x:1"}, r"server = 'nats://x:1': need tls://HOST:PORT"),
        ({"server": "tls://"}, r"need tls://HOST:PORT"),
        ({"server": "tls://u:p@x"}, r"need tls://HOST:PORT"),
        ({"server": "tls://x:99999"}, r"need tls://HOST:PORT"),
        ({"server": "tls://x", "servr": "y"}, r"servr: no such key: did you mean server\?"),
        ({"server": "tls://x", "coordinators": "k"}, r"coordinators = 'k': need a list"),
        ({"server": "tls://x", "coordinators": ["k"]}, r"coordinators: need a key that starts with hanse-key:"),
        ({"server": "tls://x", "subject": "a.b"}, r"subject = 'a\.b': need a letter"),
        ({"server": "tls://x", "certificate": "none.pem"}, r"certificate: .*none\.pem cannot be read"),
        ({"server": "tls://x", "certificate": "identity.key"}, r"identity\.key is no certificate with a name"),
    ],
)
def test_a_wrong_federation_table(league, table, message):
    with pytest.raises(UsageError, match=message):
        ConnectionSettings.from_table(table, league / "a")


def test_what_is_not_given_has_inits_names(league):
    settings = ConnectionSettings.from_table({"server": "tls://x"}, league / "a")
    assert (settings.server, settings.subject, settings.coordinators) == ("tls://x:4222", "a", ())
    assert settings.tls().get_ca_certs()


def test_wrong_certificate_files_are_told(league):
    settings = ConnectionSettings.from_table(_table(league, "a"), league / "a")
    for change, message in (
        ({"ca": league / "none.pem"}, r"ca: .*none\.pem does not exist"),
        ({"ca": league / "a" / "silo.toml"}, r"ca: .*silo\.toml is no certificate"),
        (
            {"certificate_key": league / "b" / "certificate.key"},
            r"are no pair \(key values mismatch\): hanse federation",
        ),
    ):
        with pytest.raises(TransportError, match=message):
            dataclasses.replace(settings, **change).tls()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "is not TOML"),
        ("x = 1", r"x: no such key: valid: federation, silos"),
        ("silos = {}", r"need a table \[federation\]"),
        ('federation = {server = "tls://x", coordinators = []}', "belongs into a silo's file"),
        ('federation = {server = "tls://x"}\nsilos = {a = "k"}', r"\[silos\] a: need a key that starts with"),
    ],
)
def test_a_wrong_coordinator_file(league, text, message):
    path = league / "coordinator" / "coordinator.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        CoordinatorSettings.load(path)


def test_no_coordinator_file(tmp_path):
    with pytest.raises(UsageError, match=r"there is no such file; hanse federation init makes one"):
        CoordinatorSettings.load(tmp_path / "none.toml")


def _command(*arguments: str) -> None:
    """Run a command and the action that it returns, as hanse's own command line does."""
    import typer

    from hanse.cli.federation import app

    action = typer.main.get_command(app).main(list(arguments), standalone_mode=False)
    if callable(action):
        action()


def test_the_commands(tmp_path, capsys):
    folder = str(tmp_path / "league")
    _command("init", folder, "--silos", "a, b", "--port", str(free_port()))
    out = capsys.readouterr().out
    assert f"nats-server -c {folder}/broker/nats.conf" in out
    assert f"hanse silo serve --config {folder}/b/silo.toml" in out
    assert f"hanse run script.sql --federation {folder}/coordinator.toml" in out
    assert "ca/ to none" in out
    for arguments, said in (
        (("add", folder, "--silos", "c"), "silos c: keys and certificates made"),
        (("rotate", folder, "--party", "a"), "a: new keys and certificate"),
        (("revoke", folder, "--party", "b"), "b: revoked"),
        (("rehome", folder), "broker: at home in"),
    ):
        _command(*arguments)
        assert said in capsys.readouterr().out
    with pytest.raises(UsageError, match="--silos is empty"):
        _command("init", str(tmp_path / "other"), "--silos", " ")


def test_the_commands_explain_themselves():
    from hanse.cli.federation import app

    for command in ("init", "add", "rotate", "revoke", "rehome"):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0
        assert f"hanse federation {command}" in shown.output
