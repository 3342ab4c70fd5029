"""One process of a service: how it is forked, on which device, and how it comes to serve."""
