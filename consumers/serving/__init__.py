"""One worker: it reads records, picks the next batch, and computes it."""
