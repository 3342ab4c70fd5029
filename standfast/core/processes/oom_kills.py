"""How many processes the kernel has killed for want of memory."""

from __future__ import annotations

from pathlib import Path

_VMSTAT = Path("/proc/vmstat")  # counts the kills of all cgroups, also as seen from inside a container
_NAME = "oom_kill "


def oom_kills() -> int | None:
    """The count since the machine was started; None where the kernel does not say."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return None
    counts = [line.removeprefix(_NAME) for line in lines if line.startswith(_NAME)]
    return int(counts[0]) if counts else None
