"""Request topic to worker to model to result topic, and what keeps that going while workers die.

Read in this order: `service` (what is served), `admission` (raw record to query), `batches` and `worker` (the loop),
`committer` and `transactions` (answers and offsets, once), `process` (one worker's life), `nursery` (where workers are
forked); then `supervision.replica_set` (who replaces whom).
"""
