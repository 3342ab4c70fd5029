"""Everything that crosses a topic: records, their Avro schemas, the topic table, the codec."""
