"""One worker: what it reads, which records make its next batch, and what it computes."""
