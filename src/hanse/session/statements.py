"""What each statement does, one function each, in visible tables; those about models are loaded by who has some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hanse import expressions as e
from hanse.errors import BindError, HanseError, nearest
from hanse.session.outcome import Call, Outcome
from hanse.session.result import Facts
from hanse.sql import nodes
from hanse.sql.binder import Prepared, bound_value
from hanse.types import Parameters, Progress

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Outcome", "execute"]


def execute(
    session: Session,
    statement: nodes.Statement,
    parameters: Parameters,
    into: str | None,
    progress: Progress | None,
) -> Outcome:
    """Run one statement.

    Raises:
        HanseError: any; nothing half-made remains.
    """
    call = Call(session, parameters, into, progress)
    do = _DO.get(type(statement)) or _about_models()[type(statement)]
    return do(call, statement)


def _about_models() -> Mapping[type[nodes.Statement], Callable[[Call, Any], Outcome]]:
    from hanse.session.federated_statements import FEDERATED
    from hanse.session.model_statements import MODELS

    return {**MODELS, **FEDERATED}


# -- queries and tables -----------------------------------------------------------------------


def _select(call: Call, statement: nodes.Query) -> Outcome:
    prepared = call.planner().prepare(statement.tree, unique=call.into is not None)
    if call.into is not None:
        return _store(call, (call.into,), prepared, "create_table", replace=True)
    engine = call.session.engine
    try:
        return Outcome("select", engine.query(prepared.sql), prepared.warnings, prepared.explained)
    except HanseError as error:
        raise prepared.explained(error) from error


def _store(
    call: Call, parts: Sequence[str], prepared: Prepared, kind: str, *, replace: bool, temporary: bool = False
) -> Outcome:
    """CREATE TABLE AS a prepared query; all or nothing."""
    try:
        rows = call.session.engine.create_table(parts, prepared.sql, replace=replace, temporary=temporary)
    except HanseError as error:
        raise prepared.explained(error) from error
    shown = Facts(["table", "rows"], [[".".join(parts), rows]])
    return Outcome(kind, shown, prepared.warnings)


def _create_table(call: Call, statement: nodes.CreateTable) -> Outcome:
    engine = call.session.engine
    parts = statement.name.parts
    existing = engine.kind(parts)
    if existing is not None and statement.if_not_exists:
        warning = f"table {statement.name} exists already: left as it is"
        return Outcome(statement.kind, Facts(["table", "rows"], [[str(statement.name), 0]]), (warning,))
    if existing is not None and not statement.or_replace:
        cure = "DROP TABLE it first, or write CREATE OR REPLACE TABLE or CREATE TABLE IF NOT EXISTS"
        raise BindError(f"table {statement.name} exists already", cure, statement.name.position)
    how = {"replace": statement.or_replace, "temporary": statement.temporary}
    if statement.query is None:
        columns = [
            f"{e.quote(c.name.text)} {c.type.sql(dialect=engine.dialect)}{'' if c.nullable else ' NOT NULL'}"
            for c in statement.columns
        ]
        engine.create_empty(parts, columns, **how)
        return Outcome(statement.kind, Facts(["table", "rows"], [[str(statement.name), 0]]))
    prepared = call.planner().prepare(statement.query)
    if statement.transform:
        from hanse.sql.steps import step_specs

        steps = step_specs(statement.transform, call.parameters)
        sql, made = call.session.learner.transformed(prepared.sql, prepared.columns, steps)
        prepared = Prepared(prepared.tree, sql, made, prepared.warnings, prepared.explain)
    return _store(call, parts, prepared, statement.kind, **how)


def _create_view(call: Call, statement: nodes.CreateView) -> Outcome:
    engine = call.session.engine
    existing = engine.kind(statement.name.parts)
    if existing is not None and statement.if_not_exists:
        warning = f"view {statement.name} exists already: left as it is"
        return Outcome(statement.kind, Facts(["view"], [[str(statement.name)]]), (warning,))
    if existing is not None and not statement.or_replace:
        cure = "DROP VIEW it first, or write CREATE OR REPLACE VIEW"
        raise BindError(f"view {statement.name} exists already", cure, statement.name.position)
    prepared = call.planner().prepare(statement.query)
    if statement.columns and len(statement.columns) != len(prepared.columns):
        what = f"view {statement.name} names {len(statement.columns)} columns, its query gives {len(prepared.columns)}"
        raise BindError(what, "name as many", statement.columns[0].position)
    columns = [c.text for c in statement.columns]
    first: dict[str, nodes.Name] = {}
    for column in statement.columns:
        other = first.setdefault(column.text.lower(), column)
        if other is not column:
            names = " and ".join(dict.fromkeys((other.text, column.text)))
            what = f"view {statement.name} has two columns called {names}"
            raise BindError(what, "give each a name of its own", column.position)
    how = {"replace": statement.or_replace, "temporary": statement.temporary}
    engine.create_view(statement.name.parts, columns, prepared.sql, **how)
    return Outcome(statement.kind, Facts(["view"], [[str(statement.name)]]), prepared.warnings)


def _insert(call: Call, statement: nodes.Insert) -> Outcome:
    engine = call.session.engine
    existing = engine.relation_columns(statement.name.parts)
    if existing is None:
        cure = nearest(str(statement.name), engine.relations())
        raise BindError(f"unknown table {statement.name}", cure, statement.name.position)
    known = {c.lower(): c for c in existing}
    for column in statement.columns:
        if column.text.lower() not in known:
            raise BindError(
                f"unknown column {column} of {statement.name}",
                nearest(column.text, existing),
                column.position,
            )
    prepared = call.planner().prepare(statement.query, unique=False)  # places count, not names
    wanted = len(statement.columns) or len(existing)
    if len(prepared.columns) != wanted:
        what = f"INSERT gives {len(prepared.columns)} columns, {statement.name} takes {wanted}"
        raise BindError(what, "give as many", statement.name.position)
    columns = [known[c.text.lower()] for c in statement.columns]
    try:
        rows = engine.insert(statement.name.parts, columns, prepared.sql)
    except HanseError as error:
        raise prepared.explained(error) from error
    return Outcome(statement.kind, Facts(["table", "rows"], [[str(statement.name), rows]]), prepared.warnings)


def _drop(call: Call, statement: nodes.DropTable | nodes.DropView) -> Outcome:
    engine = call.session.engine
    noun = "view" if isinstance(statement, nodes.DropView) else "table"
    found = engine.kind(statement.name.parts)
    if found is None:
        if statement.if_exists:
            return Outcome(statement.kind, Facts(["dropped"], []))
        cure = nearest(str(statement.name), engine.relations())
        raise BindError(f"unknown {noun} {statement.name}", cure, statement.name.position)
    if found != noun:
        raise BindError(f"{statement.name} is a {found}", f"write DROP {found.upper()}", statement.name.position)
    engine.drop(statement.name.parts, view=noun == "view")
    return Outcome(statement.kind, Facts(["dropped"], [[str(statement.name)]]))


def _show_tables(call: Call, statement: nodes.ShowTables) -> Outcome:
    return Outcome(statement.kind, Facts(["table"], [[name] for name in call.session.engine.relations()]))


def _describe_table(call: Call, statement: nodes.DescribeTable) -> Outcome:
    columns = call.session.engine.relation_columns(statement.name.parts)
    if columns is None:
        cure = nearest(str(statement.name), call.session.engine.relations())
        raise BindError(f"unknown table {statement.name}", cure, statement.name.position)
    return Outcome(statement.kind, Facts(["column", "type"], list(columns.items())))


def _set(call: Call, statement: nodes.SetOption) -> Outcome:
    value = bound_value(statement.value, call.parameters)
    call.session.set_option(statement.key, value, statement)
    return Outcome(statement.kind, Facts(["key", "value"], [[statement.key, str(value).lower()]]))


def _explain(call: Call, statement: nodes.Explain) -> Outcome:
    prepared = call.planner().prepare(statement.statement.tree)
    lines = [["sql", prepared.sql], *(list(part) for part in call.session.engine.explain(prepared.sql))]
    return Outcome(statement.kind, Facts(["part", "text"], lines), prepared.warnings)


_DO: Mapping[type[nodes.Statement], Callable[[Call, Any], Outcome]] = {
    nodes.Query: _select,
    nodes.CreateTable: _create_table,
    nodes.CreateView: _create_view,
    nodes.Insert: _insert,
    nodes.DropTable: _drop,
    nodes.DropView: _drop,
    nodes.ShowTables: _show_tables,
    nodes.DescribeTable: _describe_table,
    nodes.SetOption: _set,
    nodes.Explain: _explain,
}
