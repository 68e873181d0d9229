"""One call of a Spark function while it is rendered, and how a family of functions describes its rewrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlglot import exp

from hanse.errors import BindError
from hanse.sql.nodes import position_of
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.scope import Scope, lambda_variable
from hanse.sql.rendering.templates import duck
from hanse.sql.rendering.types import Type, common_types
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["Call", "Function", "Returns", "plain", "refused"]

Returns = Type | Callable[[Sequence[Value]], Type]
"""The type of a call: fixed, or worked out from its arguments."""


class Call(msgspec.Struct):
    """A call: its name, its arguments as written, and the scope that they are bound in.

    Args:
        name: lower case.
        node: the call in the script's tree, for positions.
        nodes: the arguments as written.
        scope: the names in sight.
        bind: renders an argument.
        distinct: DISTINCT stood before the arguments.
        ignore_nulls: IGNORE NULLS was said.
        order: ORDER BY of WITHIN GROUP, rendered later.
    """

    name: str
    node: exp.Expr
    nodes: Sequence[exp.Expr]
    scope: Scope
    bind: Callable[[exp.Expr, Scope], Value]
    distinct: bool = False
    ignore_nulls: bool = False
    window: bool = False
    order: exp.Order | None = None
    _bound: dict[int, Value] = msgspec.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nodes)

    def value(self, index: int) -> Value:
        """An argument, rendered, with foreign types settled."""
        if index not in self._bound:
            self._bound[index] = settle(self.bind(self.nodes[index], self.scope))
        return self._bound[index]

    def values(self) -> list[Value]:
        """All arguments."""
        return [self.value(index) for index in range(len(self.nodes))]

    def as_type(self, index: int, target: Type) -> Value:
        """An argument, cast as Spark casts it where its type differs."""
        return coerce(self.value(index), target, self.nodes[index])

    def common(self, indices: Sequence[int] | None = None) -> tuple[list[Value], Type]:
        """Arguments cast to the type that all widen to."""
        chosen = range(len(self.nodes)) if indices is None else indices
        values = [self.value(index) for index in chosen]
        target = common_types([value.type for value in values])
        if target is None:
            shown = ", ".join(str(value.type) for value in values)
            raise misfit(self.node, f"{self.name} of {shown}", "need types that fit each other")
        return [coerce(value, target, self.node) for value in values], target

    def text(self, index: int) -> str:
        """An argument that has to be a string literal here."""
        literal = self.value(index).literal
        if literal is None:
            raise unsupported(self.nodes[index], f"{self.name} with a computed argument {index + 1}", "write it out")
        return literal

    def integer(self, index: int) -> int:
        """An argument that has to be an integer literal here."""
        literal = self.value(index).integer
        if literal is None:
            raise unsupported(self.nodes[index], f"{self.name} with a computed argument {index + 1}", "write it out")
        return literal

    def array(self, index: int) -> Value:
        """An argument that has to be an array."""
        value = self.value(index)
        if value.type.kind not in ("array", "null"):
            raise misfit(self.nodes[index], f"{self.name} of a value of type {value.type}", "need an array")
        if value.type.kind == "null":
            return coerce(value, Type("array", (Type("int"),)), self.nodes[index])
        return value

    def map(self, index: int) -> Value:
        """An argument that has to be a map."""
        value = self.value(index)
        if value.type.kind != "map":
            raise misfit(self.nodes[index], f"{self.name} of a value of type {value.type}", "need a map")
        return value

    def function(self, index: int, types: Sequence[Type], *, optional: int = 0) -> tuple[exp.Lambda, Value]:
        """An argument that has to be a lambda: itself for DuckDB, and its body.

        Args:
            index: which argument.
            types: what its variables are; the last ``optional`` of them may be left out.
            optional: as above.
        """
        node = self.nodes[index]
        if not isinstance(node, exp.Lambda):
            raise misfit(node, f"{self.name} without a lambda", "write x -> ...")
        names = [variable.name for variable in node.expressions]
        if not len(types) - optional <= len(names) <= len(types):
            raise misfit(node, f"a lambda of {len(names)} variables in {self.name}", f"need {len(types)}")
        given = zip(names, types, strict=False)
        variables = {name: settle(Value(lambda_variable(name), type_)) for name, type_ in given}
        body = settle(self.bind(node.this, self.scope.with_variables(variables)))
        return exp.Lambda(this=body.sql, expressions=[lambda_variable(name).this for name in names]), body

    def error(self, what: str, cure: str = "") -> BindError:
        """The call does not fit."""
        return BindError(what, cure, position_of(self.node))


class Function(msgspec.Struct, frozen=True):
    """How a function is rendered: how many arguments it takes, and the rewrite."""

    least: int
    most: int
    build: Callable[[Call], Value]


def plain(
    template: str | Mapping[int, str], *parameters: Type | None, returns: Returns, least: int | None = None
) -> Function:
    """A function whose rewrite is a template.

    Args:
        template: DuckDB's text with ``{0}``, ``{1}`` for the arguments; or one for each number of arguments.
        parameters: the type that each argument is cast to; None leaves it as it is.
        returns: the type of the result.
        least: how many arguments have to be there; all of them by default.
    """

    def build(call: Call) -> Value:
        values = [
            call.value(i) if p is None else call.as_type(i, p)
            for i, p in zip(range(len(call)), parameters, strict=False)
        ]
        chosen = template if isinstance(template, str) else template[len(values)]
        type_ = returns if isinstance(returns, Type) else returns(values)
        return Value(duck(chosen, *(value.sql for value in values)), type_)

    return Function(len(parameters) if least is None else least, len(parameters), build)


def refused(why: str) -> Function:
    """A function that Spark has and that cannot be carried over; ``why`` says what to do."""

    def build(call: Call) -> Value:
        raise unsupported(call.node, f"function {call.name}", why)

    return Function(0, 1000, build)
