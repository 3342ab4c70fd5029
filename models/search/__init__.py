"""The search model: words, vectors and exact codes, their ranking, and training."""
