"""A system whose models are toys, so that it starts in a second."""
