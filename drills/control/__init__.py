"""The two topics of drills: commands are read from `drills.control`, outcomes are written to `drills.results`."""
