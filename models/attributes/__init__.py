"""What products have beside their texts: attributes to filter by, to count, and to change while a model serves."""
