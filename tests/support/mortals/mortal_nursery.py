"""The toy nursery (`toy_nursery`), whose workers count their steps and die at the step that a test orders.

With a file `asks` in the state folder they count their requests to Kafka too.
"""

from __future__ import annotations

import sys

from consumers.commit import committer
from standfast.core.home import home
from tests.support.mortals.steps import Steps
from tests.support.toys import toy_nursery

if __name__ == "__main__":
    committer._PREPARED_S = 0.2  # instead of 2 s: a batch outlives its transaction sooner, and the test is shorter
    Steps(home(), asks=(home() / "asks").exists()).install(toy_nursery.ToyModel)
    sys.exit(toy_nursery.main(sys.argv[1:]))
