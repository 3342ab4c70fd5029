"""The hosts of one system, as their records on the topic `status` show them."""
