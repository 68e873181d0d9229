"""The commands that set a federation up: ``hanse federation init | add | rotate | revoke | rehome``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.federation.setup import Done

__all__ = ["app"]

Action = Callable[[], None]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Set up a federation: certificates, keys, and a file for each party.",
    short_help="Set up a federation: certificates, keys, files.",
)

FolderArgument = Annotated[str, typer.Argument(metavar="DIR", help="The federation's folder.")]
PartyOption = Annotated[str, typer.Option("--party", metavar="NAME", help="A silo, coordinator, or broker.")]
SilosOption = Annotated[str, typer.Option("--silos", metavar="A,B,C", help="The silos' names, with commas between.")]


@app.command(short_help="Make everything that a federation starts with.")
def init(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    silos: SilosOption,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="The name or address that silos dial to reach the broker.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="The broker's port.")] = 4222,
) -> Action:
    """Make a private certificate authority, keys and certificates, and a file for each party.

    Nothing is overwritten. DIR/broker runs as it is; each silo.toml publishes nothing until its owner says so.

    \b
    hanse federation init league --silos comfort_wear,fashion_mart,sport_zone
    hanse federation init league --silos a,b --host broker.example.org --port 4333
    """

    def action() -> None:
        from hanse.federation import setup

        _say(setup.init(directory, _names(silos), host, port))

    return action


@app.command(short_help="Let further silos in.")
def add(directory: FolderArgument, silos: SilosOption) -> Action:
    """Make keys, a certificate and a silo.toml for silos that join later.

    \b
    hanse federation add league --silos garden_shop
    """

    def action() -> None:
        from hanse.federation import setup

        _say(setup.add(directory, _names(silos)))

    return action


@app.command(short_help="Make new keys and a new certificate for a party.")
def rotate(directory: FolderArgument, party: PartyOption) -> Action:
    """Make new keys and a new certificate for a party; the old ones are worth nothing once the broker has reloaded.

    \b
    hanse federation rotate league --party comfort_wear
    hanse federation rotate league --party coordinator
    """

    def action() -> None:
        from hanse.federation import setup

        _say(setup.rotate(directory, party))

    return action


@app.command(short_help="Take a party out.")
def revoke(directory: FolderArgument, party: PartyOption) -> Action:
    """Take a party out: the broker no longer lets its certificate in, and nobody trusts its keys.

    \b
    hanse federation revoke league --party comfort_wear
    """

    def action() -> None:
        from hanse.federation import setup

        _say(setup.revoke(directory, party))

    return action


@app.command(short_help="Write the broker's paths anew after its folder moved.")
def rehome(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The broker's folder, where it is now.")],
) -> Action:
    """Write the broker's paths anew after its folder was moved or copied to another machine.

    \b
    hanse federation rehome /srv/hanse/broker
    """

    def action() -> None:
        from hanse.federation import setup

        _say(setup.rehome(directory))

    return action


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")] if text.strip() else []


def _say(done: Done) -> None:
    typer.echo(done.summary)
    for step in done.steps:
        typer.echo(f"  {step}")
