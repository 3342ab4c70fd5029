"""Reports of past drills: tables, charts, an HTML page and exit codes."""
