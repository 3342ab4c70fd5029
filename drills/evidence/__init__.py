"""What a drill's own load saw, and what that proves: checker, judge and verdict know no clock and no Kafka."""
