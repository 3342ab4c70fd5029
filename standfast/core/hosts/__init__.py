"""The hosts of one system, as each says on the topic `status`."""
