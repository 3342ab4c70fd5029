"""The matrix products that serving spends most of its time in, and the device they run on."""
