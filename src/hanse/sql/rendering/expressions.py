"""The expressions of a query: one handler for each class of node; what has none is refused by name."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hanse.errors import BindError, nearest
from hanse.sql.nodes import position_of
from hanse.sql.rendering import operators
from hanse.sql.rendering.aggregates import AGGREGATES
from hanse.sql.rendering.call import Call, Function
from hanse.sql.rendering.casts import to_boolean
from hanse.sql.rendering.dates import interval
from hanse.sql.rendering.functions import FUNCTIONS
from hanse.sql.rendering.notes import note_stand_in, note_type
from hanse.sql.rendering.primaries import PRIMARIES, Primary
from hanse.sql.rendering.scope import Scope, access
from hanse.sql.rendering.templates import text
from hanse.sql.rendering.types import (
    BOOLEAN,
    NULL,
    STRING,
)
from hanse.sql.rendering.values import Value, misfit, settle, shown, unsupported
from hanse.sql.rendering.window_functions import WINDOW_FUNCTIONS
from hanse.sql.rendering.windows import apply_filter, window_over

__all__ = ["bind", "condition", "parts_of", "shown"]

Handler = Callable[[exp.Expr, Scope], Value]

GENERATORS = ("explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "stack")


def bind(node: exp.Expr, scope: Scope) -> Value:
    """Render one expression.

    Raises:
        BindError: a name that does not exist, or types that do not fit.
        UnsupportedError: something that cannot be carried over.
    """
    found = HANDLERS.get(type(node))
    if found is None:
        raise unsupported(node, f"{_title(node)} ({shown(node)})")
    handler, expected = found
    for name, value in node.args.items():
        if name not in expected and value not in (None, False, [], ""):
            raise unsupported(node, f"{name.upper().replace('_', ' ')} in {_title(node)}")
    value = handler(node, scope)
    note_type(node, value.type)
    return Value(value.sql, value.type, value.projected, node)


def condition(node: exp.Expr, scope: Scope, what: str) -> Value:
    """Render an expression that has to be a condition."""
    return to_boolean(bind(node, scope), node, what)


def parts_of(node: exp.Expr) -> list[str] | None:
    """The parts of a dotted name, or None where the node is something else."""
    if isinstance(node, exp.Identifier):
        return [node.name]
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier):
        return [part.name for part in node.parts]
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        before = parts_of(node.this)
        return [*before, node.expression.name] if before else None
    return None


def _title(node: exp.Expr) -> str:
    return type(node).__name__.upper()


def _name(node: exp.Expr, scope: Scope) -> Value:
    parts = parts_of(node)
    if parts is None:
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
            return access(settle(bind(node.this, scope)), node.expression.name, node)
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            raise BindError(f"unknown function {shown(node)}", "functions have no schema here", position_of(node))
        raise unsupported(node, f"{shown(node)} here", "stars stand in a SELECT list or in count(*)")
    return scope.resolve(parts, node)


def _call(node: exp.Expr, scope: Scope) -> Value:
    name = node.name.lower()
    arguments = list(node.expressions)
    if name in AGGREGATES or name in WINDOW_FUNCTIONS:
        return aggregate(node, scope)
    function = FUNCTIONS.get(name)
    if function is None:
        if name in GENERATORS:
            raise misfit(node, f"{name} inside an expression", "let it stand alone in the SELECT list")
        known = [*FUNCTIONS, *AGGREGATES, *WINDOW_FUNCTIONS, *GENERATORS]
        raise BindError(f"unknown function {node.name}", nearest(name, known), position_of(node))
    if any(isinstance(argument, exp.Distinct) for argument in arguments):
        raise misfit(node, f"DISTINCT in {name}", "only aggregates take it")
    call = Call(name, node, arguments, scope, bind)
    return build(function, call)


def build(function: Function, call: Call) -> Value:
    """Check the number of arguments, then rewrite."""
    count = len(call)
    if not function.least <= count <= function.most:
        need = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
        if function.most >= 1000:
            need = f"at least {function.least}"
        raise call.error(f"{call.name} with {count} argument{'s' * (count != 1)}", f"need {need}")
    return function.build(call)


def aggregate(
    node: exp.Expr,
    scope: Scope,
    *,
    ignore_nulls: bool = False,
    window: bool = False,
    filter_: exp.Expr | None = None,
    order: exp.Order | None = None,
) -> Value:
    """Render an aggregate or window function, with what was said around it."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    function = (WINDOW_FUNCTIONS.get(name) if window else None) or AGGREGATES.get(name)
    if function is None:
        if name in WINDOW_FUNCTIONS:
            raise misfit(node, f"{name} without OVER", "write OVER (ORDER BY ...)")
        if name in FUNCTIONS or not isinstance(node, exp.Anonymous):
            raise misfit(node, f"{shown(node)} is not an aggregate", "only aggregates take OVER, FILTER or ORDER BY")
        known = [*AGGREGATES, *(WINDOW_FUNCTIONS if window else ())]
        raise BindError(f"unknown function {node.name}", nearest(name, known), position_of(node))
    _check_place(node, scope, name, window)
    arguments = list(node.expressions)
    distinct = len(arguments) == 1 and isinstance(arguments[0], exp.Distinct)
    if distinct:
        if arguments[0].args.get("on") is not None:
            raise unsupported(node, "DISTINCT ON in an aggregate")
        arguments = list(arguments[0].expressions)
    root = scope.root()
    outer = root.inside_aggregate, root.aggregates_allowed, root.windows_allowed
    root.inside_aggregate = not window
    root.windows_allowed = False
    try:
        call = Call(name, node, arguments, scope, bind, distinct, ignore_nulls, window, order)
        value = build(function, call)
        note_type(node, value.type)
        columns = list(value.sql.find_all(exp.Column))
        if columns and all(column.meta.get("hanse_outer") for column in columns):
            raise unsupported(
                node, f"{name} of the enclosing query's columns alone", "aggregate in the enclosing query"
            )
        if filter_ is not None:
            test = condition(filter_, scope, "FILTER")
            value = Value(apply_filter(value.sql, test.sql), value.type)
    finally:
        root.inside_aggregate, root.aggregates_allowed, root.windows_allowed = outer
    return value


def _check_place(node: exp.Expr, scope: Scope, name: str, window: bool) -> None:
    root = scope.root()
    if window:
        if not root.windows_allowed:
            raise misfit(node, f"window function {name} in {root.clause}", "compute it in a subquery, or use QUALIFY")
        return
    if root.inside_aggregate:
        raise misfit(node, f"{name} inside another aggregate", "compute the inner one in a subquery")
    if scope is not root:
        raise misfit(node, f"{name} inside a lambda", "use aggregate(array, start, (sum, x) -> ...)")
    if not root.aggregates_allowed:
        raise misfit(node, f"{name} in {root.clause}", "aggregates stand in SELECT, HAVING or ORDER BY")
    root.aggregated = True


def _filter(node: exp.Expr, scope: Scope) -> Value:
    inner, ignore = _peeled(node.this)
    return aggregate(inner, scope, ignore_nulls=ignore, filter_=node.expression.this)


def _nulls(node: exp.Expr, scope: Scope) -> Value:
    inner, ignore = _peeled(node)
    return aggregate(inner, scope, ignore_nulls=ignore)


def _within_group(node: exp.Expr, scope: Scope) -> Value:
    return aggregate(node.this, scope, order=node.expression)


def _peeled(node: exp.Expr) -> tuple[exp.Expr, bool]:
    ignore = False
    while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        ignore = isinstance(node, exp.IgnoreNulls)
        node = node.this
    return node, ignore


def _window(node: exp.Expr, scope: Scope) -> Value:
    inner, ignore = _peeled(node.this)
    filter_ = None
    order = None
    if isinstance(inner, exp.Filter):
        filter_ = inner.expression.this
        inner, ignore = _peeled(inner.this)
    if isinstance(inner, exp.WithinGroup):
        inner, order = inner.this, inner.expression
    value = aggregate(inner, scope, ignore_nulls=ignore, window=True, filter_=filter_, order=order)
    root = scope.root()
    outer = root.windows_allowed
    root.windows_allowed = False
    try:
        return window_over(value, node, scope, bind)
    finally:
        root.windows_allowed = outer


def _subquery(node: exp.Expr, scope: Scope) -> Value:
    from hanse.sql.rendering.queries import render_query

    bound = render_query(node.this if isinstance(node, exp.Subquery) else node, scope.environment, scope)
    if len(bound.columns) != 1:
        raise misfit(node, f"a subquery of {len(bound.columns)} columns as a value", "need one column")
    return Value(exp.Subquery(this=bound.tree), bound.columns[0].type)


def _exists(node: exp.Expr, scope: Scope) -> Value:
    if not isinstance(node.this, exp.Query):
        raise unsupported(node, f"{_title(node)} ({shown(node)})")
    from hanse.sql.rendering.queries import render_query

    bound = render_query(node.this, scope.environment, scope)
    return Value(exp.Exists(this=bound.tree), BOOLEAN)


def _in(node: exp.Expr, scope: Scope) -> Value:
    query = node.args.get("query")
    if query is None:
        return operators.in_list(node, scope, bind)
    subject = settle(bind(node.this, scope))
    inner = _subquery(query, scope)
    note_type(query, inner.type)
    return operators.in_query(node, subject, inner)


def _any(node: exp.Expr, scope: Scope) -> Value:
    """``any(x)`` is an aggregate; only after LIKE it is something else."""
    if not isinstance(node.this, exp.Paren):
        raise unsupported(node, shown(node))
    call = exp.Anonymous(this="any", expressions=[node.this.this.copy()])
    call.meta.update(node.meta)
    note_stand_in(node, call)
    return aggregate(call, scope)


def _named(name: str, *arguments: str) -> Handler:
    def handler(node: exp.Expr, scope: Scope) -> Value:
        given = [node.args[key] for key in arguments if node.args.get(key) is not None]
        call = exp.Anonymous(this=name, expressions=[argument.copy() for argument in given])
        call.meta.update(node.meta)
        call.parent = node.parent
        note_stand_in(node, call)
        return bind(call, scope)

    return handler


def _parameter(node: exp.Expr, scope: Scope) -> Value:
    raise BindError(f"parameter ${node.name} has no value", "give it one", position_of(node))


def _at_time_zone(node: exp.Expr, scope: Scope) -> Value:
    raise unsupported(node, "AT TIME ZONE", "use from_utc_timestamp or to_utc_timestamp")


HANDLERS: dict[type[exp.Expr], tuple[Handler, frozenset[str]]] = {}


def _register(handler: Handler, *classes: type[exp.Expr], args: str = "this expression") -> None:
    for class_ in classes:
        HANDLERS[class_] = (handler, frozenset(args.split()))


_register(_name, exp.Column, args="this table db catalog")
_register(_name, exp.Identifier, args="this quoted")
_register(_name, exp.Dot)
_register(lambda node, scope: Value(text(node.name), STRING), exp.RawString, args="this")
_register(lambda node, scope: Value(exp.Null(), NULL), exp.Null)
_register(lambda node, scope: Value(exp.Boolean(this=node.this), BOOLEAN), exp.Boolean)
_register(lambda node, scope: interval(node, scope, bind), exp.Interval, args="this unit")
_register(_call, exp.Anonymous, args="this expressions")
_register(_filter, exp.Filter)
_register(_nulls, exp.IgnoreNulls, exp.RespectNulls)
_register(_within_group, exp.WithinGroup)
_register(_window, exp.Window, args="this partition_by order spec alias over")
_register(_subquery, exp.Subquery)
_register(_subquery, exp.Select, exp.Union, exp.Except, exp.Intersect, args=" ".join(
    {*exp.Select.arg_types, *exp.Union.arg_types}))  # fmt: skip
_register(_exists, exp.Exists)
_register(_in, exp.In, args="this expressions query")
_register(_any, exp.Any, args="this")
_register(_named("substring", "this", "start", "length"), exp.Substring, args="this start length")
_register(_named("instr", "this", "substr"), exp.StrPosition, args="this substr")
_register(_named("locate", "substr", "this", "position"), exp.StrPosition, args="this substr position")
_register(_named("overlay", "this", "expression", "from_", "for_"), exp.Overlay, args="this expression from_ for_")
_register(_named("extract", "this", "expression"), exp.Extract)
_register(_named("current_date"), exp.CurrentDate, args="")
_register(_named("current_timestamp"), exp.CurrentTimestamp, args="sysdate")
_register(_parameter, exp.Parameter, exp.Placeholder, args="this expression kind jdbc widget")
_register(_at_time_zone, exp.AtTimeZone, args="this zone")


def _with_bind(primary: Primary) -> Handler:
    return lambda node, scope: primary(node, scope, bind)


for _class, (_primary, _arguments) in PRIMARIES.items():
    _register(_with_bind(_primary), _class, args=_arguments)
for _class, _handler in operators.handlers(bind).items():
    _register(_handler, _class, args="this expression expressions low high typed safe negate")
