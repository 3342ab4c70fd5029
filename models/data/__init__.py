"""A shop's own files: products, interactions, the text of both; one rule for ids, numbers and times."""
