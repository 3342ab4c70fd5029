"""What the neural recommenders share: sequences as rectangles, their training, and how they answer."""
