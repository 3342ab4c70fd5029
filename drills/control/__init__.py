"""The two topics of drills: commands that come in, and the outcome stream that goes out."""
