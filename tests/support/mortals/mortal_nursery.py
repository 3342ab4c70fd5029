"""The toy nursery (`toy_nursery`), whose workers count each step that they take and die at the one that was ordered.

A file `asks` in the state folder has them count their requests to Kafka too.
"""

from __future__ import annotations

import sys

from consumers.commit import committer
from standfast.core.home import home
from tests.support.mortals.steps import Steps
from tests.support.toys import toy_nursery

if __name__ == "__main__":
    committer._PREPARED_S = 0.2  # so that a batch need not take two seconds to outlive its transaction
    Steps(home(), asks=(home() / "asks").exists()).install(toy_nursery.ToyModel)
    sys.exit(toy_nursery.main(sys.argv[1:]))
