"""The toy system (`toy_system`) with mortal nurseries. Its supervisor does not wait before it replaces a worker."""

from __future__ import annotations

import sys

from consumers.process import nursery
from consumers.supervision import identities
from models.canary import Versions
from tests.support.toys import toy_system

_NURSERY = "tests.support.mortals.mortal_nursery"


def mortal_command(name: str, versions: Versions, channel: int) -> list[str]:
    """Replaces `consumers.process.nursery.command`."""
    return [sys.executable, "-m", _NURSERY, *nursery.arguments(name, versions), str(channel)]


if __name__ == "__main__":
    identities._SHORT_LIFE_S = 0.0
    toy_system.toy_command = mortal_command
    toy_system.main(sys.argv[1:])
