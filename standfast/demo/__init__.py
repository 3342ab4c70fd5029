"""The whole story on one machine: real answers, a worker killed under load, the verdict, nothing left behind."""
