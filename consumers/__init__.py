"""From request topic through worker and model to result topic, and the replacement of workers that die.

Read in this order: `service` (names and limits of a service), `requests.admission` (raw record to query),
`serving.batches` and `serving.worker` (the loop), `commit.committer` and `commit.transactions` (answers and offsets,
exactly once), `process.worker_process` (one worker's life), `process.nursery` (where workers are forked); then
`supervision.replica_set` (who replaces whom).
"""
