"""What people are shown of past drills."""
