"""The command line, settings and supervision of Standfast; what all roles share."""

__version__ = "0.1.0"
