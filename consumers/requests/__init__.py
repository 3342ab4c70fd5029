"""One request: read, decided on, made into a query, and answered."""
