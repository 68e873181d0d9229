"""What the statements about silos and federated models do; what trains over silos is loaded by those who do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hanse.session.outcome import Call, Outcome, model_made
from hanse.session.result import Facts
from hanse.sql import nodes

__all__ = ["FEDERATED"]


def _create_silo(call: Call, statement: nodes.CreateSilo) -> Outcome:
    call.session.federation.create_silo(statement, call.parameters)
    return Outcome(statement.kind, Facts(["silo"], [[str(statement.name)]]))


def _show_silos(call: Call, statement: nodes.ShowSilos) -> Outcome:
    rows = []
    for record in call.session.federation.journal.silos():
        options = dict(record.options)
        where = next(key for key in ("subject", "database", "workspace", "config") if key in options)
        rows.append([record.name, where, options[where], options.get("store", ""), record.created])
    return Outcome(statement.kind, Facts(["silo", "reached_by", "where", "store", "created"], rows))


def _drop_silo(call: Call, statement: nodes.DropSilo) -> Outcome:
    journal = call.session.federation.journal
    if statement.if_exists and str(statement.name).lower() not in {s.name.lower() for s in journal.silos()}:
        return Outcome(statement.kind, Facts(["dropped"], []))
    journal.drop_silo(str(statement.name))
    return Outcome(statement.kind, Facts(["dropped"], [[str(statement.name)]]))


def _create_federated(call: Call, statement: nodes.CreateFederatedModel) -> Outcome:
    from hanse.session.federated_training import create

    made = create(call.session, statement, call.parameters, call.progress)
    return model_made(statement.kind, [made.info.model_id, made.info.name, made.info.version], made.warnings)


def _resume_model(call: Call, statement: nodes.ResumeModel) -> Outcome:
    from hanse.session.federated_training import resume

    made = resume(call.session, str(statement.name), call.progress)
    return model_made(statement.kind, [made.info.model_id, made.info.name, made.info.version], made.warnings)


def _explain_egress(call: Call, statement: nodes.ExplainEgress) -> Outcome:
    rows = call.session.federation.explain(statement.statement, call.parameters)
    return Outcome(statement.kind, Facts(["silo", "exchange", "statistics", "policy", "budget_left"], rows))


def _show_egress(call: Call, statement: nodes.ShowEgress) -> Outcome:
    from hanse.federation.journal import shapes_of

    rows: list[list[str | int | None]] = []
    for item in call.session.federation.journal.received(str(statement.model) if statement.model else None):
        reply = item.reply
        told = ["silent", "", ""]
        if reply is not None:
            told = [reply.status, shapes_of(reply), ", ".join(sorted({r.code for r in reply.reasons}))]
        head = "" if reply is None else reply.ledger_head
        asked: list[str | int | None] = [item.received, item.model, item.run_id, item.round, item.silo, item.kind]
        rows.append([*asked, *told, item.size_bytes, head])
    return Outcome(statement.kind, Facts(_EGRESS, rows))


_EGRESS = (
    "received",
    "model",
    "run",
    "round",
    "silo",
    "exchange",
    "status",
    "statistics",
    "reasons",
    "bytes",
    "ledger_head",
)


FEDERATED: Mapping[type[nodes.Statement], Callable[[Call, Any], Outcome]] = {
    nodes.CreateSilo: _create_silo,
    nodes.ShowSilos: _show_silos,
    nodes.DropSilo: _drop_silo,
    nodes.CreateFederatedModel: _create_federated,
    nodes.ResumeModel: _resume_model,
    nodes.ExplainEgress: _explain_egress,
    nodes.ShowEgress: _show_egress,
}
