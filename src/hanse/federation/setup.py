"""Setting a federation up on disk: certificates, keys, and a file for each party; rotating and revoking them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from hanse.decoding import decoded
from hanse.errors import HanseError, UsageError, nearest
from hanse.federation import setup_texts as texts
from hanse.federation.certificates import Authority, Pair
from hanse.transports.keys import Identity
from hanse.transports.settings import COORDINATOR, PARTY_CURE, PARTY_NAME
from hanse.workspace import read_file

__all__ = ["Done", "add", "init", "rehome", "revoke", "rotate"]

_BROKER: Final = "broker"
_RESERVED: Final = (COORDINATOR, _BROKER, "ca")
_MANIFEST: Final = "federation.json"
_LIMIT_BYTES: Final = 10_000_000
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*", re.ASCII)


class _Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the others know of a party: its public keys, and what its certificate is mapped by."""

    key: str
    uri: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """federation.json: nothing secret."""

    host: str
    port: int
    silos: dict[str, _Party]
    coordinator: _Party | None = None
    version: int = 1


@dataclass(frozen=True)
class Done:
    """What was done, and what a person does next.

    Args:
        summary: one line.
        steps: in order, each a line to read or a command to copy.
    """

    summary: str
    steps: tuple[str, ...]


def init(directory: str | Path, silos: Sequence[str], host: str = "127.0.0.1", port: int = 4222) -> Done:
    """Make everything that a federation starts with.

    Args:
        directory: a new or empty folder.
        silos: the names of the silos.
        host: what parties dial to reach the broker: a name or an address.
        port: of the broker.

    Raises:
        UsageError: a name, host or port that cannot be, or a folder that holds something.
    """
    _check_names(silos)
    _check_host(host)
    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: need 1 to 65535")
    folder = Path(directory).expanduser().absolute()
    _check_new(folder)
    building = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    try:
        building.mkdir(mode=0o700)
        _build(building, folder, silos, host, port)
        building.replace(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}: choose another folder") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    steps = (
        f"start the broker:      nats-server -c {folder / _BROKER / 'nats.conf'}",
        *(f"publish, then start:   hanse silo serve --config {folder / name / 'silo.toml'}" for name in silos),
        f"train over the silos:  hanse run script.sql --federation {folder / 'coordinator.toml'}",
        "on several machines, copy:",
        f"  {_BROKER}/ to the broker's; there:  hanse federation rehome {_BROKER}",
        f"  each silo's folder to its own machine; coordinator.toml and {COORDINATOR}/ to the coordinator's",
        "  ca/ to none: who holds ca/ca.key can be anyone",
    )
    return Done(f"federation {folder}: a broker at {host}:{port}, a coordinator, silos {', '.join(silos)}", steps)


def add(directory: str | Path, silos: Sequence[str]) -> Done:
    """Let further silos in.

    Raises:
        UsageError: a name that cannot be or is there already; no federation in ``directory``.
    """
    folder, manifest = _opened(directory)
    _check_names(silos)
    for name in silos:
        if name.lower() in {known.lower() for known in manifest.silos}:
            raise UsageError(f"silo {name} is in the federation already: rotate makes new keys for it")
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists already: remove it, or choose another name")
    if manifest.coordinator is None:
        raise UsageError(
            f"the coordinator was revoked: hanse federation rotate {directory} --party {COORDINATOR} first"
        )
    authority = _authority(folder)
    parties = {name: _new_party(authority, folder / name, name)[0] for name in silos}
    server = texts.server_url(manifest.host, manifest.port)
    for name in silos:
        path = folder / name / "silo.toml"
        _write(path, texts.silo_toml(path, name, server, manifest.coordinator.key).encode())
    manifest = msgspec.structs.replace(manifest, silos=manifest.silos | parties)
    steps = [step for name, party in parties.items() for step in _tell_coordinator(folder, name, party.key)]
    _save(folder, manifest)
    files = (f"publish, then start:  hanse silo serve --config {folder / name / 'silo.toml'}" for name in silos)
    return Done(f"silos {', '.join(silos)}: keys and certificates made", (*_reload(folder), *steps, *files))


def rotate(directory: str | Path, party: str) -> Done:
    """Make new keys and a new certificate for a party; its old ones are worth nothing from then on.

    Args:
        directory: that :func:`init` made.
        party: a silo, ``coordinator`` or ``broker`` (which has a certificate only).

    Raises:
        UsageError: no such party; no federation in ``directory``.
    """
    folder, manifest = _opened(directory)
    authority = _authority(folder)
    if party == _BROKER:
        pair = authority.broker(manifest.host)
        _write_pair(folder / _BROKER / "server", pair)
        step = f"copy {folder / _BROKER}/server.pem and server.key to the broker's machine, and restart nats-server"
        return Done(f"broker: new certificate, good until {pair.expires}", (step,))
    if party != COORDINATOR:
        _check_known(party, manifest, folder)
    new, pair = _new_party(authority, folder / party, party)
    steps = [f"copy certificate.pem, certificate.key and identity.key from {folder / party} to its machine; restart it"]
    if party == COORDINATOR:
        steps += _tell_silos(folder, manifest, new.key)
        manifest = msgspec.structs.replace(manifest, coordinator=new)
    else:
        steps += _tell_coordinator(folder, party, new.key)
        manifest = msgspec.structs.replace(manifest, silos=manifest.silos | {party: new})
    _save(folder, manifest)
    return Done(f"{party}: new keys and certificate, good until {pair.expires}", (*_reload(folder), *steps))


def revoke(directory: str | Path, party: str) -> Done:
    """Take a party out: the broker no longer lets its certificate in, and nobody trusts its keys.

    Args:
        directory: that :func:`init` made.
        party: a silo or ``coordinator``.

    Raises:
        UsageError: no such party; no federation in ``directory``.
    """
    folder, manifest = _opened(directory)
    if party == _BROKER:
        raise UsageError("the broker cannot be revoked: rotate its certificate, or stop it")
    if party == COORDINATOR:
        if manifest.coordinator is None:
            raise UsageError("the coordinator was revoked already: rotate makes new keys for it")
        steps = _tell_silos(folder, manifest, None)
        manifest = msgspec.structs.replace(manifest, coordinator=None)
    else:
        _check_known(party, manifest, folder)
        steps = _tell_coordinator(folder, party, None)
        left = {name: known for name, known in manifest.silos.items() if name != party}
        manifest = msgspec.structs.replace(manifest, silos=left)
    _save(folder, manifest)
    kept = f"its files are still in {folder / party}: remove them, or keep the silo's own data"
    return Done(f"{party}: revoked", (*_reload(folder), *steps, kept))


def rehome(directory: str | Path) -> Done:
    """Write the broker's paths anew after its folder was moved or copied.

    Args:
        directory: the broker's folder, or the federation's.

    Raises:
        UsageError: there is no broker's configuration.
    """
    folder = Path(directory).expanduser().absolute()
    folder = folder if (folder / "nats.conf").is_file() else folder / _BROKER
    if not (folder / "nats.conf").is_file():
        raise UsageError(f"{directory}: no nats.conf here nor in {_BROKER}/: name the broker's folder")
    _write(folder / "paths.conf", texts.paths_conf(folder).encode())
    return Done(f"broker: at home in {folder}", (f"start it:  nats-server -c {folder / 'nats.conf'}",))


def _build(at: Path, home: Path, silos: Sequence[str], host: str, port: int) -> None:
    """Write all files below ``at``, which will be called ``home``."""
    authority, pair = Authority.create()
    _folder(at / "ca")
    _write_pair(at / "ca" / "ca", pair)
    _folder(at / _BROKER)
    _write(at / _BROKER / "ca.pem", pair.certificate)
    _write_pair(at / _BROKER / "server", authority.broker(host))
    _write(at / _BROKER / "nats.conf", texts.broker_conf(home / _BROKER, host, port).encode())
    _write(at / _BROKER / "paths.conf", texts.paths_conf(home / _BROKER).encode())
    coordinator, _ = _new_party(authority, at / COORDINATOR, COORDINATOR)
    parties = {name: _new_party(authority, at / name, name)[0] for name in silos}
    server = texts.server_url(host, port)
    for name in silos:
        text = texts.silo_toml(home / name / "silo.toml", name, server, coordinator.key)
        _write(at / name / "silo.toml", text.encode())
    keys = {name: party.key for name, party in parties.items()}
    _write(at / "coordinator.toml", texts.coordinator_toml(home / "coordinator.toml", server, keys).encode())
    _save(at, _Manifest(host, port, parties, coordinator))


def _new_party(authority: Authority, folder: Path, name: str) -> tuple[_Party, Pair]:
    """Make a party's keys and certificate and write them into its folder."""
    identity = Identity.generate()
    uri = f"urn:hanse:{name}:{secrets.token_hex(8)}"
    pair = authority.party(name, uri)
    _folder(folder)
    _write_pair(folder / "certificate", pair)
    _write(folder / "identity.key", f"# secret: the keys of {name}\n{identity.text()}\n".encode(), secret=True)
    _write(folder / "ca.pem", authority.pem())
    return _Party(str(identity.public), uri), pair


def _tell_coordinator(folder: Path, silo: str, key: str | None) -> list[str]:
    """Name a silo's key in coordinator.toml, or take it out."""
    path = folder / "coordinator.toml"
    text = _text(path)
    edited = None if text is None else texts.with_silo(text, silo, key)
    if edited is None:
        what = f"take {silo} out of [silos]" if key is None else f'write under [silos]: {silo} = "{key}"'
        return [f"in coordinator.toml (not found, or in a form of your own, in {folder}): {what}"]
    _write(path, edited.encode())
    return [f"if the coordinator is elsewhere: copy the [silos] of {path} there; restart it"]


def _tell_silos(folder: Path, manifest: _Manifest, key: str | None) -> list[str]:
    """Name the coordinator's key in each silo.toml, or take it out."""
    old = manifest.coordinator.key if manifest.coordinator else None
    steps = []
    for silo in sorted(manifest.silos):
        path = folder / silo / "silo.toml"
        text = _text(path)
        edited = None if text is None else texts.with_coordinator(text, old, key)
        if edited is not None:
            _write(path, edited.encode())
        what = f"take {old} out of" if key is None else f"the coordinator's key is now {key} in"
        steps.append(f"silo {silo}: {what} [federation] coordinators of its silo.toml; restart it")
    return steps


def _reload(folder: Path) -> list[str]:
    return [f"copy {folder / _BROKER / 'parties.conf'} to the broker's folder, then: nats-server --signal reload=PID"]


def _save(folder: Path, manifest: _Manifest) -> None:
    """Write what the broker lets in, and the manifest after it."""
    uris = {name: party.uri for name, party in manifest.silos.items()}
    coordinator = manifest.coordinator.uri if manifest.coordinator else None
    _write(folder / _BROKER / "parties.conf", texts.parties_conf(uris, coordinator).encode())
    _write(folder / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def _opened(directory: str | Path) -> tuple[Path, _Manifest]:
    folder = Path(directory).expanduser().absolute()
    if not (folder / _MANIFEST).is_file():
        raise UsageError(f"{directory} holds no federation (no {_MANIFEST}): hanse federation init makes one")
    try:
        return folder, decoded(read_file(folder / _MANIFEST, limit_bytes=_LIMIT_BYTES), _Manifest)
    except (msgspec.MsgspecError, HanseError) as error:
        raise UsageError(f"{folder / _MANIFEST} cannot be read: {error}: restore it from a backup") from None


def _authority(folder: Path) -> Authority:
    try:
        certificate, key = (read_file(folder / "ca" / name, limit_bytes=_LIMIT_BYTES) for name in ("ca.pem", "ca.key"))
        return Authority.load(certificate, key)
    except (ValueError, TypeError, HanseError) as error:
        raise UsageError(
            f"the certificate authority in {folder / 'ca'} cannot be read ({error}): do this where it is kept"
        ) from None


def _check_names(silos: Sequence[str]) -> None:
    if not silos:
        raise UsageError("--silos is empty: name them: --silos a,b,c")
    seen: set[str] = set()
    for name in silos:
        if not PARTY_NAME.fullmatch(name):
            raise UsageError(f"silo {name!r}: {PARTY_CURE}")
        if name.lower() in _RESERVED:
            raise UsageError(f"silo {name}: the name is taken by the federation itself: choose another")
        if name.lower() in seen:
            raise UsageError(f"silo {name} is named twice (case does not count): leave one out")
        seen.add(name.lower())


def _check_host(host: str) -> None:
    cure = "need the name or address that silos dial to reach the broker"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host) or host.replace(".", "").isdigit():
            raise UsageError(f"--host {host!r}: {cure}") from None
        return
    if address.is_unspecified or "%" in host:
        raise UsageError(f"--host {host}: {cure}, not the one that it listens on")


def _check_known(party: str, manifest: _Manifest, folder: Path) -> None:
    if party not in manifest.silos:
        known = [*manifest.silos, COORDINATOR, _BROKER]
        again = f" (revoked? hanse federation add {folder} --silos {party})" if (folder / party).is_dir() else ""
        raise UsageError(f"--party {party}: no such party{again}: {nearest(party, known)}")


def _check_new(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise UsageError(f"{folder} cannot be made: create {folder.parent} first")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already and is not empty; nothing is overwritten: choose another folder")


def _text(path: Path) -> str | None:
    try:
        return read_file(path, limit_bytes=_LIMIT_BYTES).decode("utf-8")
    except (UnicodeDecodeError, HanseError):
        return None


def _folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}") from None


def _write_pair(stem: Path, pair: Pair) -> None:
    _write(stem.with_suffix(".pem"), pair.certificate)
    _write(stem.with_suffix(".key"), pair.key, secret=True)


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Put a file in place whole; a secret one is never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
