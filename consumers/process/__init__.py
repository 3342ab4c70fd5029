"""One worker process: how it is forked, on which device it computes, and how it comes to serve."""
