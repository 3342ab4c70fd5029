"""The few products of matrices that serving spends its time in, and where they run."""
