"""One request: how it is read, admitted or refused, made into a query, and answered."""
