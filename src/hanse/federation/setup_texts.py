"""The files that set a federation up, as texts: the broker's, a silo's and the coordinator's."""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hanse.transports.envelope import MAX_ENVELOPE_BYTES
from hanse.transports.settings import COORDINATOR

__all__ = [
    "broker_conf",
    "coordinator_toml",
    "parties_conf",
    "paths_conf",
    "server_url",
    "silo_toml",
    "with_coordinator",
    "with_silo",
]

_MAX_PAYLOAD: Final = 4 * 1024 * 1024
assert _MAX_PAYLOAD > MAX_ENVELOPE_BYTES

_BROKER: Final = """\
# The broker of this federation. It runs from any directory: nats-server -c {folder}/nats.conf
# What it carries is signed and sealed: it can delay and drop messages, and neither read nor change them.
server_name: hanse
listen: "{listen}"
max_payload: {max_payload}
max_control_line: 4096
write_deadline: "10s"

include "paths.conf"    # where the certificates are
tls {{
  cert_file: $HANSE_CERTIFICATE
  key_file: $HANSE_CERTIFICATE_KEY
  ca_file: $HANSE_CA
  verify_and_map: true  # no certificate, no connection; the certificate says who it is
  min_version: "1.3"
  timeout: 5
}}
include "parties.conf"  # who may send and receive what; hanse federation rewrites it

# JetStream stays off: nothing is stored. Monitoring, without a password, for this machine only:
# http: "127.0.0.1:8222"
"""

_PATHS: Final = """\
# nats-server resolves paths against the directory that it is started in, so they are absolute here.
# When this folder moves: edit the three lines, or run  hanse federation rehome FOLDER
HANSE_CERTIFICATE: {certificate}
HANSE_CERTIFICATE_KEY: {key}
HANSE_CA: {ca}
"""

_SILO: Final = """\
# Silo {name}. Paths are relative to this file. Start:  hanse silo serve --config {path}
name = "{name}"
database = "{name}.duckdb"               # the store's own database; it is opened read-only
# or, for tables on Spark:  engine = "spark", workspace = "DIR", master = "local[2]"  (one line each)

[federation]
server = "{server}"
coordinators = ["{key}"]
ca = "ca.pem"
certificate = "certificate.pem"
certificate_key = "certificate.key"     # secret
identity = "identity.key"               # secret
subject = "{name}"                      # the name that the certificate stands for

# Nothing is published until you say so. For each feature relation:
#
# [publish.customer_features]
# relation = "customer_features"        # a table or view of the database; or:  sql = "customer_features.sql"
# customer = "customer_id"              # the unit that privacy protects
# store = "store_id"                    # optional: one database, several stores; each value is a silo of its own
# columns = ["avg_order_value", "total_orders", "customer_lifetime", "days_since_last_purchase"]
# bounds = {{ avg_order_value = [0, 10000] }}    # values are clipped before any statistic

# The policy; what is not set has the value shown.
#
# [policy]
# min_customers = 10                    # per released cell, distinct customers; never below 3
# min_changed_customers = 10            # fewer changed since the last answer to the same plan: that answer again
# dominance_percent = 50                # no released sum of squares may owe more than this to one customer
# model_types = ["bisecting_kmeans", "kmeans", "gaussian_mixture", "logistic_reg"]
# strategies = ["one_shot"]
# exact_rounds = false                  # un-noised multi-round training; docs/federation.md says what it costs
# install = "ask"                       # ask | auto | never : may a global model be put into this silo's registry
# max_clusters = 16
# runs_per_day = 20
# cells_per_day = 1000                  # a release budget per published relation, whatever the plans are called
# snapshot_hours = 24                   # how long the copy of an unfinished run is kept after its last task
# ledger_days = 0                       # older entries are pruned when the silo starts; 0 keeps all
"""

_COORDINATOR: Final = """\
# The coordinator. Paths are relative to this file. Use:  hanse run script.sql --federation {path}
[federation]
server = "{server}"
ca = "{folder}/ca.pem"
certificate = "{folder}/certificate.pem"
certificate_key = "{folder}/certificate.key"    # secret
identity = "{folder}/identity.key"              # secret
subject = "{subject}"

# The silos' public keys; a reply that is signed with another key is thrown away.
[silos]
{silos}
"""


def server_url(host: str, port: int) -> str:
    """Where parties dial: ``tls://host:port``."""
    return f"tls://{_bracketed(host)}:{port}"


def broker_conf(folder: Path, host: str, port: int) -> str:
    """The broker's configuration, without paths and parties; a person may edit it."""
    listen = host if _is_loopback(host) else "::" if ":" in host else "0.0.0.0"
    listen = "127.0.0.1" if listen == "localhost" else listen
    return _BROKER.format(folder=folder, listen=f"{_bracketed(listen)}:{port}", max_payload=_MAX_PAYLOAD)


def paths_conf(folder: Path) -> str:
    """Where the broker finds its certificates, as absolute paths."""
    certificate, key, ca = (json.dumps(str(folder / name)) for name in ("server.pem", "server.key", "ca.pem"))
    return _PATHS.format(certificate=certificate, key=key, ca=ca)


def parties_conf(silos: Mapping[str, str], coordinator: str | None) -> str:
    """Who may send and receive what.

    Args:
        silos: by name, what the silo's certificate is mapped by.
        coordinator: what the coordinator's is mapped by; None where it was revoked.
    """
    users = [_user(uri, f"hanse.reply.{name}.*", f"hanse.task.{name}") for name, uri in sorted(silos.items())]
    if coordinator is not None:
        users.append(_user(coordinator, "hanse.task.*", "hanse.reply.*.*"))
    lines = "\n".join(f"    {user}" for user in users)
    return (
        "# Made by hanse federation; edits are lost. After a change:  nats-server --signal reload=PID\n"
        f"authorization {{\n  users: [\n{lines}\n  ]\n}}\n"
    )


def silo_toml(path: Path, name: str, server: str, coordinator: str) -> str:
    """A silo's file, with what it may publish left to its owner."""
    return _SILO.format(path=path, name=name, server=server, key=coordinator)


def coordinator_toml(path: Path, server: str, silos: Mapping[str, str]) -> str:
    """The coordinator's file."""
    lines = "\n".join(f'{name} = "{key}"' for name, key in sorted(silos.items()))
    return _COORDINATOR.format(path=path, server=server, folder=COORDINATOR, subject=COORDINATOR, silos=lines)


def with_silo(text: str, name: str, key: str | None) -> str | None:
    """coordinator.toml with another key for a silo, or without the silo; None where a person must edit it."""
    head, found, body = text.partition("\n[silos]")
    if not found:
        return None
    line = re.compile(rf'^[ \t]*"?{re.escape(name)}"?[ \t]*=.*\n?', re.MULTILINE)
    entry = "" if key is None else f'{name} = "{key}"\n'
    if line.search(body):
        body = line.sub(entry, body, count=1)
    elif entry:
        body = f"{body.rstrip()}\n{entry}"
    edited = f"{head}{found}{body}"
    return edited if _silos(edited).get(name) == key else None


def with_coordinator(text: str, old: str | None, new: str | None) -> str | None:
    """silo.toml with a coordinator's key replaced, added or taken out; None where a person must edit it."""
    match = re.search(r"^[ \t]*coordinators[ \t]*=[ \t]*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if match is None:
        return None
    keys = [key for key in _coordinators(text) if key not in (old, new)] + ([new] if new else [])
    edited = f"{text[: match.start(1)]}{', '.join(json.dumps(key) for key in keys)}{text[match.end(1) :]}"
    return edited if _coordinators(edited) == keys else None


def _silos(text: str) -> Mapping[str, object]:
    try:
        silos = tomllib.loads(text).get("silos", {})
    except tomllib.TOMLDecodeError:
        return {"": ""}
    return silos if isinstance(silos, dict) else {"": ""}


def _coordinators(text: str) -> list[str]:
    try:
        table = tomllib.loads(text)["federation"]["coordinators"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return []
    return [str(key) for key in table] if isinstance(table, Iterable) else []


def _user(uri: str, publish: str, subscribe: str) -> str:
    return f'{{ user: "{uri}", permissions: {{ publish: ["{publish}"], subscribe: ["{subscribe}"] }} }}'


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
