"""`standfast drill abort | stop-all | approve | keygen`: what stops drills, and what lets them begin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands.options import Config, located_settings, settings_from, stderr, stdout

if TYPE_CHECKING:
    from drills.safety.signatures import Signer
    from schemas.records import DrillCommand
    from standfast.core.settings import Settings

_ANSWER_S = 10.0  # for the answer, and for how long the order is valid
_REACH_S = 2.0  # for Kafka to take what stops drills: it may be the victim
Sign = Annotated[
    Path | None, typer.Option("--sign", metavar="KEYFILE", help="Sign it with this private key (drill keygen).")
]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else the user's login.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("abort")(abort)
    app.command("stop-all")(stop_all)
    app.command("approve")(approve)
    app.command("keygen")(keygen)


def abort(
    drill_id: Annotated[str, typer.Argument(metavar="ID", help="The drill or the campaign; * for all.")],
    config: Config = None,
) -> None:
    """Stop a drill; its fault is undone. `drill report ID` tells how it ended.

    Example: standfast drill abort worker-kill-1a2b3c4d
    """
    from drills.control.sending import send
    from schemas.records import DrillCommand

    send(DrillCommand(abort=drill_id, requested_by=login()), drill_id, located_settings(config))
    stderr().print(f"sent; see: standfast drill report {drill_id}", markup=False)


def stop_all(
    release: Annotated[bool, typer.Option("--release", help="Let drills run again.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; every refused drill says it.")] = "",
    by: By = None,
    sign: Sign = None,
    config: Config = None,
) -> None:
    """Stop all drills, undo their faults, and refuse new ones until --release. Works while Kafka is down.

    Example: standfast drill stop-all --reason "the shop is on television"
    """
    from drills.safety import lever
    from standfast.core.errors import StandfastError

    who = by or login()
    try:
        file = lever.set_lever(engage=not release, reason=reason, by=who)
    except OSError as error:
        stderr().print(f"the lever's file cannot be written ({error}); Kafka is told all the same", markup=False)
    else:
        state = "released" if release else "engaged"
        stdout().print(f"the lever is {state} on this machine: {file}", soft_wrap=True, markup=False)
    fields = {"lever": "released" if release else "engaged", "reason": reason or None, "requested_by": who}
    try:
        print_answer(order(fields), settings_from(config), sign, reach_s=_REACH_S)
    except StandfastError as error:
        stderr().print(
            f"no drill runner answered ({error}). The one on this machine sees the file, also without Kafka; a runner "
            "on another machine does not: give this command there too",
            soft_wrap=True,
            markup=False,
        )


def approve(
    drill_id: Annotated[str, typer.Argument(metavar="ID", help="The drill that waits.")],
    by: By = None,
    sign: Sign = None,
    config: Config = None,
) -> None:
    """Let a drill begin that waits for a second name: another than that of who asked for it.

    Example: standfast drill approve worker-kill-1a2b3c4d --by ann
    """
    print_answer(order({"approve": drill_id, "requested_by": by or login()}), settings_from(config), sign)


def keygen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The key's name: whose it is.")],
    into: Annotated[Path, typer.Option("--into", help="The folder.")] = Path(),
) -> None:
    """Make a pair of keys: NAME.pem signs commands, NAME.pub goes into the drill runner's folder of keys.

    Example: standfast drill keygen ann --into .
    """
    from drills.safety import signatures

    private, public = signatures.keygen(name, into)
    stdout().print(f"{private} signs: keep it to yourself\n{public} goes to the runner", soft_wrap=True, markup=False)


def order(fields: dict[str, str | None]) -> DrillCommand:
    """An order with an id of its own."""
    import uuid

    import msgspec

    from schemas.records import DrillCommand

    name = next(iter(fields))
    command = DrillCommand(drill_id=f"{name}-{uuid.uuid4().hex[:8]}")
    return msgspec.structs.replace(command, **fields)


def print_answer(
    command: DrillCommand, settings: Settings, sign: Path | None, *, reach_s: float = 10.0, begins: bool = False
) -> None:
    """Sends the order and prints the answer. Raises NoAnswer, ClusterError, and DrillRejected for a refusal."""
    from drills.control.sending import ask
    from standfast.core.errors import DrillRejected, NoAnswer
    from standfast.core.processes.locating import located

    event = ask(command, located(settings), signer_of(sign), within_s=_ANSWER_S, reach_s=reach_s, begins=begins)
    if event is None:
        raise NoAnswer(f"no drill runner answered within {_ANSWER_S:g} s; see `standfast status`")
    if event.phase == "rejected":
        raise DrillRejected(event.reason or "rejected")
    stdout().print(event.reason or "done", soft_wrap=True, markup=False)


def signer_of(sign: Path | None) -> Signer | None:
    """The signer for `--sign`; raises UsageError."""
    from drills.safety.signatures import signer

    return signer(sign) if sign is not None else None


def login() -> str:
    """The user's login name."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, as in some containers
        return "cli"
