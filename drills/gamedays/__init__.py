"""Game days: a drill for people. It is announced but not named, and the time until somebody acts is taken."""
