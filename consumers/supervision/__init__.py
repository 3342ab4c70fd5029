"""Who serves: the processes of a service, who takes over from whom, and how many there are. Runs in the supervisor."""
