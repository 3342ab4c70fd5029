"""How cost grows with partitions, workers and payload (`python -m bench.growth`), the catalogue, and users."""
