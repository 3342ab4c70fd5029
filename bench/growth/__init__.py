"""How cost grows: with partitions, workers and payload (`python -m bench.growth`), and with the catalogue."""
