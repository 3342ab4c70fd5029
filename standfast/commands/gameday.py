"""`standfast gameday`: a drill for people, announced but not named, and how long they took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.drill_safety import By, Sign, login, order, print_answer
from standfast.commands.options import Config, settings_from, stderr

if TYPE_CHECKING:
    from schemas.records import DrillCommand
    from standfast.core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="A drill for people: announced, not named; takes the time they need.")
Team = Annotated[str | None, typer.Option("--team", metavar="TEAM", help="Whose team.")]


@app.command("start")
def start(
    drills: Annotated[
        list[str] | None, typer.Argument(metavar="[DRILL…]", help="Among these; else among all.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Chooses the same drill again.")] = None,
    by: By = None,
    sign: Sign = None,
    config: Config = None,
) -> None:
    """Begin a game day: one of the drills is run, and no event says which before the end.

    Example: standfast gameday start worker-kill worker-freeze
    """
    import msgspec

    from standfast.core.errors import Interrupted, NoAnswer

    command = order({"gameday": "start", "drill": ",".join(drills or ()) or None, "requested_by": by or login()})
    command = msgspec.structs.replace(command, seed=seed)
    settings = settings_from(config)
    try:
        print_answer(command, settings, sign, begins=True)
    except NoAnswer as error:
        raise NoAnswer(f"{error}; {_called_off(command, settings)}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"{command.drill_id} was interrupted; {_called_off(command, settings)}") from None
    stderr().print(f"this is {command.drill_id}; it ends with: standfast gameday end", markup=False)


@app.command("ack")
def ack(by: By = None, team: Team = None, sign: Sign = None, config: Config = None) -> None:
    """Say that you have seen it.

    Example: standfast gameday ack --team search
    """
    _say("ack", None, by, team, sign, config)


@app.command("note")
def note(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What you see or do.")],
    decided: Annotated[bool, typer.Option("--decided", help="It is decided what to do.")] = False,
    fixed: Annotated[bool, typer.Option("--fixed", help="It is fixed.")] = False,
    by: By = None,
    team: Team = None,
    sign: Sign = None,
    config: Config = None,
) -> None:
    """Write down what you see or do; with --decided or --fixed the time is taken.

    Example: standfast gameday note --decided "we wait for the standby"
    """
    from standfast.core.errors import UsageError

    if decided and fixed:
        raise UsageError("give --decided or --fixed, not both")
    _say("decided" if decided else "fixed" if fixed else "note", text, by, team, sign, config)


@app.command("end")
def end(by: By = None, sign: Sign = None, config: Config = None) -> None:
    """End the game day: the drill is stopped and named, and everybody's times are in `drill report`.

    Example: standfast gameday end
    """
    _say("end", None, by, None, sign, config)


def _called_off(command: DrillCommand, settings: Settings) -> str:
    """Aborts a game day whose caller gives up, and returns in words what became of it; raises ClusterError."""
    from drills.control.sending import send
    from schemas.records import DrillCommand
    from standfast.core.processes.locating import located

    drill_id = command.drill_id or ""
    send(DrillCommand(abort=drill_id, requested_by=command.requested_by), drill_id, located(settings))
    return f"it was called off, and nothing of it begins later; see: standfast drill report {drill_id}"


def _say(action: str, text: str | None, by: str | None, team: str | None, sign: Sign, config: Config) -> None:
    fields = {"gameday": action, "reason": text, "team": team, "requested_by": by or login()}
    print_answer(order(fields), settings_from(config), sign)
