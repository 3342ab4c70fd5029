"""The search model: words, vectors and exact codes, how they are ranked, and how it is trained."""
