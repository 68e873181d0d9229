"""Nothing that a user can write, set or meet is left out of the documentation."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pages import DOCUMENTS, ROOT, Page

import hanse
from hanse import errors
from hanse.cli import shell
from hanse.cli.app import app
from hanse.cli.formats import FORMATS
from hanse.cli.workspace import WORKSPACE_VARIABLE
from hanse.federation import config
from hanse.federation.plan import FederatedOptions
from hanse.federation.policy import Policy
from hanse.federation.refusals import CODES
from hanse.models import catalog
from hanse.options import describe
from hanse.session.session import SETTINGS
from hanse.sql import nodes
from hanse.sql.options import KEY_ALIASES
from hanse.sql.parser import STATEMENTS
from hanse.sql.rendering.aggregates import AGGREGATES
from hanse.sql.rendering.expressions import GENERATORS
from hanse.sql.rendering.functions import FUNCTIONS
from hanse.sql.rendering.refusals import REFUSALS
from hanse.sql.rendering.window_functions import WINDOW_FUNCTIONS
from hanse.sql.table_functions import TABLE_FUNCTIONS
from hanse.transforms import chain
from hanse.transports.settings import CONNECTION_KEYS

SQL, MODELS, CLI, CALLS, SILOS = (
    Page(f"docs/{name}.md") for name in ("sql", "models", "cli", "functions", "federation")
)


def _plain(text: str) -> str:
    """A table cell as a reader sees it."""
    return text.replace("\\|", "|")


def _shown(default: Any) -> str:
    if default is None:
        return "none"
    return f"`'{default}'`" if isinstance(default, str) else str(default)


@pytest.mark.parametrize("kind", catalog.ESTIMATORS, ids=lambda kind: kind.model_type)
def test_every_option_of_every_model_type(kind: type[Any]) -> None:
    section = _plain(MODELS.section(kind.model_type))
    rows = [f"| `{name}` | {_shown(default)} | {text} |" for name, (default, text) in describe(kind).items()]
    assert rows
    assert [row for row in rows if row not in section] == []
    listed = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    assert listed == list(describe(kind))


def test_every_model_type_and_second_spelling() -> None:
    section = SQL.section("Options")
    known = [kind.model_type for kind in catalog.ESTIMATORS] + list(catalog.KNOWN)
    assert [name for name in known if f"`{name}`" not in section] == []
    assert [pair for pair in KEY_ALIASES.items() if f"| `{pair[1]}` | `{pair[0]}` |" not in section] == []


def test_every_transform() -> None:
    section = _plain(SQL.section("TRANSFORM"))
    assert [kind.usage for kind in chain.TRANSFORMS if f"| `{kind.usage}` |" not in section] == []
    assert [name for name in chain.KNOWN if f"`{name}`" not in section] == []


def test_every_statement() -> None:
    grammar = "\n".join(block.text for block in SQL.blocks("text"))
    missing = []
    for form in STATEMENTS:
        optional = r"(?: \[[A-Z| ]+\])*(?: \| [A-Z]+)* "
        words = optional.join(re.escape(word) for word in form.words)
        if not re.search(rf"(?:^|\| ){words}(?!\w)", grammar, re.MULTILINE):
            missing.append(str(form))
    assert missing == []


def test_every_statement_has_an_example_that_runs() -> None:
    from hanse.sql.parser import parse

    shown = {statement.kind for block in SQL.blocks("sql") if not block.info for statement in parse(block.text)}
    assert {kind.kind for kind in _statements()} - shown == set()


def test_every_kind_of_the_json_output() -> None:
    section = SQL.section("JSON output")
    assert [kind.kind for kind in _statements() if f"`{kind.kind}`" not in section] == []


def _statements() -> Iterator[type[nodes.Statement]]:
    return (
        kind
        for _, kind in inspect.getmembers(nodes, inspect.isclass)
        if issubclass(kind, nodes.Statement) and "kind" in vars(kind) and kind is not nodes.Statement
    )


@pytest.mark.parametrize("form", TABLE_FUNCTIONS, ids=lambda form: form.name)
def test_every_table_function(form: Any) -> None:
    section = SQL.section(form.name)
    assert form.signature in section
    assert re.search(rf"FROM {form.name}\(", section)


def test_every_option_of_a_federated_model() -> None:
    section = _plain(SQL.section("CREATE FEDERATED MODEL"))
    rows = [f"| `{n}` | {_shown(default)} | {text} |" for n, (default, text) in describe(FederatedOptions).items()]
    assert [row for row in rows if row not in section] == []
    assert re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE) == list(describe(FederatedOptions))


def test_every_key_of_a_silos_file() -> None:
    section = SILOS.section("silo.toml")
    tables = {
        "": [key for key in config._KEYS if key not in ("federation", "publish", "policy")],
        "federation": list(CONNECTION_KEYS),
        "publish.NAME": list(config._PUBLISH_KEYS),
        "policy": [f.name for f in dataclasses.fields(Policy)],
    }
    listed = re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(key for keys in tables.values() for key in keys)
    assert [name for name in tables if name and f"[{name}]" not in section] == []


def test_every_default_of_a_policy() -> None:
    section = SILOS.section("silo.toml")
    for f in dataclasses.fields(Policy):
        value = list(f.default) if isinstance(f.default, tuple) else f.default
        number = isinstance(value, float) and value.is_integer()
        shown = str(int(value)) if number else json.dumps(value)  # TOML writes these as JSON does
        assert f"| `{f.name}` | `{shown}` |" in section, f.name


def test_every_file_of_a_silo_is_read(tmp_path: Any) -> None:
    blocks = list(SILOS.blocks("toml"))
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.text)
        loaded = config.SiloConfig.load(file)
        assert loaded.publish
        assert list(loaded.policy.explained())


def test_every_reason_code() -> None:
    section = SILOS.section("Reason codes")
    assert re.findall(r"^\| `([a-z]+)` \| (.*) \|$", section, re.MULTILINE) == list(CODES.items())


def test_the_gate_is_described_in_its_own_words() -> None:
    """What suppression does and does not do stands on the page, and nothing claims more than that."""
    section = " ".join(SILOS.section("The gate").split())
    for words in (
        "Suppression protects against reading a person out of *one* release.",
        "It does not hold against differencing *many*",
        "8 of 57 steps moved exactly one customer across a split",
        "of 79 gated cells from 20 differently parametrised one-shot trainings, 5 pairs differed by exactly one customer",
    ):
        assert words in section
    for name in DOCUMENTS:
        for found in re.finditer(r"[^.]*\banonymi[sz][^.]*\.", " ".join(Page(name).prose().split())):
            assert re.search(r"\b(not|no|nor|never)\b", found[0]), f"{name}: {found[0]}"


def test_every_measure_of_an_evaluation() -> None:
    from hanse.metrics.catalog import METRICS

    section = SQL.section("model_evaluate")
    measures = [f.name for kind in METRICS.values() for f in dataclasses.fields(kind)]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == measures


def test_every_setting(session: hanse.Session) -> None:
    section = SQL.section("Settings")
    assert set(SETTINGS) == set(session.settings)
    for name, value in session.settings.items():
        assert f"| `{name}` | `{str(value).lower()}` |" in section


def test_every_error_with_its_exit_code() -> None:
    section = SQL.section("Errors and exit codes")
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HanseError)]
    assert len(kinds) > 10
    assert [k.__name__ for k in kinds if f"| `{k.__name__}` | {k.exit_code} |" not in section] == []
    codes = CLI.section("Exit codes")
    assert [k.exit_code for k in kinds if f"| {k.exit_code} |" not in codes] == []


def _commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below a group by its full name, groups themselves included."""
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path}{name} ")


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_there_are_groups_of_commands() -> None:
    assert {"run", "silo", "silo serve", "silo policy check", "federation init"} <= set(COMMANDS)


@pytest.mark.parametrize("name", [n for n in COMMANDS if hasattr(COMMANDS[n], "commands")])
def test_every_group_lists_its_commands(name: str) -> None:
    section = CLI.section(f"hanse {name}")
    assert [inner for inner in COMMANDS[name].commands if f"hanse {name} {inner}" not in section] == []


@pytest.mark.parametrize("name", [n for n in COMMANDS if not hasattr(COMMANDS[n], "commands")])
def test_every_command_and_option(name: str) -> None:
    section = CLI.section(f"hanse {name}")
    options = [o for p in COMMANDS[name].params if p.param_type_name == "option" for o in [*p.opts, *p.secondary_opts]]
    assert [option for option in options if f"`{option}`" not in section] == []
    listed = set(re.findall(r"`(--?[a-z-]+)`", section))
    assert listed - set(options) == set()
    for parameter in COMMANDS[name].params:
        if isinstance(parameter.default, int) and not isinstance(parameter.default, bool):
            shown = str(parameter.default) if parameter.name == "port" else f"{parameter.default:,}"
            assert f"| {shown} |" in section


def test_the_program_itself() -> None:
    for word in ("hanse --help", "hanse --version", WORKSPACE_VARIABLE, "HANSE_DEBUG", "`-h`", "`:memory:`"):
        assert word in CLI.text
    assert [f for f in FORMATS if f"| `{f}` |" not in CLI.section("Formats")] == []


def test_every_command_of_the_shell() -> None:
    section = CLI.section("hanse shell")
    commands = set(re.findall(r"(\\[a-z?])", shell._HELP))
    assert len(commands) > 5
    assert {c for c in commands if c not in section} == set()


def test_the_python_interface() -> None:
    section = CLI.section("Python")
    for kind in (hanse.Session, hanse.Result):
        names = [n for n, _ in inspect.getmembers(kind) if not n.startswith("_")]
        internal = {"close", "engine", "federation", "learner", "registry", "set_option", "settings", "workspace"}
        internal |= {"stream", "schema"}
        assert [n for n in names if n not in internal and f".{n}" not in section] == []
    for name in ("session.sql", "session.run", "session.load", "session.register", "hanse.connect"):
        owner = hanse if name == "hanse.connect" else hanse.Session
        signature = inspect.signature(getattr(owner, name.partition(".")[2]))
        written = re.search(rf"`{re.escape(name)}\((.*?)\)`", section)
        assert written, name
        given = [part.partition("=")[0].strip() for part in written[1].split(",")]
        expected = [p for p in signature.parameters if p != "self"]
        assert [g for g in given if g != "*"] == [e for e in expected if e in given], name


def _listed(heading: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_]+)`", CALLS.section(heading)))


def test_every_function_that_is_rendered() -> None:
    rendered = {*FUNCTIONS, *AGGREGATES, *WINDOW_FUNCTIONS, *GENERATORS} - _refused()
    listed = _listed("Rendered")
    assert sorted(rendered - listed) == []
    assert sorted(listed - rendered) == []


def test_every_function_that_is_refused() -> None:
    listed = _listed("Refused")
    assert sorted(_refused() - listed) == []
    assert sorted(listed - _refused() - {*FUNCTIONS, *AGGREGATES}) == []


def _refused() -> set[str]:
    """Functions whose rewrite is a refusal."""
    entries = {**FUNCTIONS, **AGGREGATES}
    named = set(REFUSALS) | {name for name, function in entries.items() if "refused" in function.build.__qualname__}
    assert len(named) > 20
    return named


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{hanse.__version__}]" in Page("CHANGELOG.md").text


def test_architecture_opens_with_the_one_rule() -> None:
    first = next(line for line in Page("ARCHITECTURE.md").text.splitlines()[1:] if line)
    assert first == "> **A model turns additive statistics into its next state.**"


def test_architecture_shows_the_house_as_it_is_enforced() -> None:
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    enforced = [tuple(re.findall(r"hanse\.([a-z_]+)", layer)) for layer in layers]
    section = Page("ARCHITECTURE.md").section("The house")
    shown = [tuple(re.findall(r"`([a-z_]+)`", row)) for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)]
    assert shown == enforced
