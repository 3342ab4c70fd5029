"""What `standfast status` says of a challenger."""

from __future__ import annotations

from rich.console import Console

from standfast.commands.status_table import summary
from standfast.core.status import ServiceStatus, SystemStatus


def shown(**models: object) -> str:
    service = ServiceStatus(
        name="search", workers=2, serving=2, settled=True, auto=False, fewest=1, most=4, partitions=4,
        champion="search@1", **models,  # type: ignore[arg-type]
    )  # fmt: skip
    running = SystemStatus(
        state="ready", at=0, supervisor_pid=1, bootstrap_servers="b:1", metrics_url="", services=[service]
    )
    console = Console(width=200)
    with console.capture() as captured:
        console.print(summary(running))
    return captured.get()


def test_a_challenger_is_shown_with_what_it_does_and_what_was_seen() -> None:
    said = shown(challenger="search@3", share=0.1, canary="40 requests computed")
    assert "search@1 is active, search@3 beside it answers 10 % of the keys (40 requests computed)" in said
    both = shown(challenger="search@3", share=0.005, shadow=True)
    assert "search@3 beside it answers 0.5 % of the keys, computes the others in the shadow" in both
    assert "search@3 beside it answers nothing, computes the others in the shadow" in shown(
        challenger="search@3", shadow=True
    )


def test_why_the_last_one_was_ended_stays_until_another_version_is_activated() -> None:
    assert "search@1 is active; search@3 was ended at [noon]: slow" in shown(
        canary="search@3 was ended at [noon]: slow"
    )
    assert "search@1" not in shown()
