"""How the system's processes are started, watched and signalled, and how they end."""
