"""The processes of a service: who serves, who takes over from whom, and how many there are. Runs in the supervisor."""
