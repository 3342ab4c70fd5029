"""`standfast demo`: a real system on one machine, a worker killed under load, the verdict, nothing left behind."""
