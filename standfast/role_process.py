"""`python -m standfast.role_process MODULE …`: runs a role's module, and writes down the error that ends it.

The module cannot do this itself, since the error may come from one of its imports.
"""

from __future__ import annotations

import runpy
import sys

from standfast.core.processes import role_word


def main() -> None:
    """Runs the module as `python -m MODULE …` would."""
    module = sys.argv.pop(1)
    try:
        runpy.run_module(module, run_name="__main__")
    except Exception as error:
        role_word.ends(f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main()
