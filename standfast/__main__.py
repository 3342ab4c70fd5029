"""`python -m standfast`: the same as the `standfast` command."""

from standfast.cli import main

if __name__ == "__main__":
    main()
