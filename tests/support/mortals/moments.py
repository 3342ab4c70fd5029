"""Every step of a worker process (`steps`), and the moments around each step at which tests kill the process.

AFTER is enough where one step follows another. AROUND also kills before the step, where steps repeat. WITHIN also kills
during the step, where Kafka does its part meanwhile.
"""

from __future__ import annotations

from tests.support.orders import When

Table = dict[str, tuple[When, ...]]
AFTER: tuple[When, ...] = ("after",)
AROUND: tuple[When, ...] = ("before", "after")
WITHIN: tuple[When, ...] = ("before", "in", "after")

# A new process, until it is a standby: it has everything but an identity.
STARTING: Table = {
    "start: Heartbeat.reset": AFTER,
    "start: LifeLock.hold": AFTER,
    "start: ToyModel.warm_up": AFTER,
    "start: ToyModel.predict": WITHIN,  # the rehearsal with a made-up request
    "start: Producer": AFTER,
    "start: Replies": AFTER,
    "start: Replies.list_topics": AFTER,
    "reply-topics: AdminClient": AFTER,
    "start: Consumer": AFTER,
    "start: Consumer.list_topics": AFTER,
    "start: Seats.connect": AFTER,
    "start: send Ready": AFTER,
}
# From the order to take over an identity until its partitions are assigned.
TAKING_OVER: Table = {
    "take over: Seats.take": AROUND,
    "take over: Consumer.subscribe": AFTER,
    "take over: Consumer.poll": ("in",),
    "take over: Consumer.on_assign": AROUND,
    "take over/Consumer.on_assign: Consumer.incremental_assign": AFTER,
    "take over/Consumer.on_assign: send Serving": AROUND,
    "aside: Seats.close": AFTER,
    "aside: Consumer.close": AFTER,
}
# Batches, in the thread that polls and computes.
SERVING: Table = {
    "serve: Consumer.poll": AROUND,
    "serve: Consumer.consume": AFTER,
    "serve: Committer.announce": AROUND,
    "serve: Heartbeat.begin": AROUND,
    "serve: ToyModel.predict": WITHIN,
    "serve: Heartbeat.end": AROUND,
    "serve: Committer.idle": AROUND,
    "serve: Committer.submit": AROUND,
    "serve: offer LoadReport": AFTER,
}
# A batch's transaction, in the committing thread. Calls that may hang run in another thread (`standfast.core.bounded`).
COMMITTING: Table = {
    "start: Producer.list_topics": AFTER,
    "start: Producer.init_transactions": ("in", "after"),
    "commit: Producer.begin_transaction": AROUND,
    "bounded: Producer.send_offsets_to_transaction": WITHIN,
    "commit: Producer.produce": AROUND,
    "commit: Producer.commit_transaction": WITHIN,
}
# Answers to reply topics, written before that transaction; and the thread that asks Kafka about reply topics.
REPLYING: Table = {
    "commit: Replies.produce": WITHIN,
    "commit: Replies.poll": WITHIN,
    "reply-topics: AdminClient.describe_topics": AROUND,
}
# Partitions revoked and assigned again.
MOVING: Table = {
    "serve: Consumer.on_revoke": AROUND,
    "serve/Consumer.on_revoke: Committer.idle": AFTER,
    "serve/Consumer.on_revoke: Consumer.resume": AFTER,
    "serve/Consumer.on_revoke: send Serving": AFTER,
    "serve: Consumer.on_assign": AROUND,
    "serve/Consumer.on_assign: Consumer.incremental_assign": AFTER,
    "serve/Consumer.on_assign: Consumer.offsets_for_times": AFTER,
    "serve/Consumer.on_assign: send Serving": AFTER,
    "serve: Bulk.on_revoke": AROUND,
    "serve/Bulk.on_revoke: Committer.idle": AFTER,
    "serve/Bulk.on_revoke: Bulk.resume": AFTER,
    "serve/Bulk.on_revoke: send Serving": AFTER,
}
# Scaling up by one worker, and down by one.
JOINING: Table = {"take over/Consumer.on_assign: Consumer.subscribe": AROUND}
LEAVING: Table = {
    "serve: Consumer.unsubscribe": WITHIN,
    "serve: Bulk.unsubscribe": WITHIN,
    "stop: send Left": AROUND,
}
# The consumer of bulk requests, which starts a second after the first consumer.
BULK: Table = {
    "serve: Bulk": AROUND,
    "serve: Bulk.subscribe": AFTER,
    "serve: Bulk.on_assign": AROUND,
    "serve/Bulk.on_assign: Bulk.incremental_assign": AFTER,
    "serve/Bulk.on_assign: send Serving": AFTER,
    "serve: Bulk.poll": AFTER,
    "serve: Bulk.consume": AFTER,
}
STOPPING: Table = {
    "serve: send Done": AROUND,
    "stop: Committer.close": AROUND,
    "stop: Seats.close": AFTER,
    "stand by: Seats.close": AROUND,
    "stand by: Consumer.close": AFTER,
}
# The threads that receive orders and tick the heartbeat.
BESIDE: Table = {"orders: receive": AFTER, "tick: Heartbeat.tick": AROUND}

EXACTLY_ONCE = STARTING | TAKING_OVER | SERVING | COMMITTING | BULK | STOPPING | BESIDE
AT_LEAST_ONCE: Table = {
    "commit: Producer.produce": AROUND,
    "commit: Producer.flush": WITHIN,
    "serve: Consumer.commit": WITHIN,
    "serve: Bulk.commit": AROUND,
}
# A batch that takes longer to compute than a transaction is kept open for it.
LONG_BATCH: Table = {"commit: Producer.abort_transaction": WITHIN}
COMMIT = "commit: Producer.commit_transaction"
# A commit that timed out: a new producer fences the old one and asks Kafka whether the commit was done.
IN_DOUBT: Table = {
    "aside: Producer.purge": AFTER,
    "commit: Producer": AFTER,
    "commit: Producer.list_topics": AFTER,
    "commit: Producer.init_transactions": WITHIN,
    "commit: AdminClient": AFTER,
    "commit: AdminClient.list_consumer_group_offsets": AROUND,
    "commit: Producer.commit_transaction": AFTER,
}
NOT_DONE: Table = {
    "commit: Producer.begin_transaction": AROUND,
    "bounded: Producer.send_offsets_to_transaction": AFTER,
    "commit: Producer.produce": AFTER,
    "commit: Producer.poll": AROUND,
    "commit: Producer.commit_transaction": WITHIN,
}
# Steps without a test of their own. They happen only when a rebalance meets a commit, when a new member waits long for
# its first partitions, or on a slow machine; in their usual phase the tables above have them.
SOMETIMES = {
    # Serving steps in the phase "take over": the first records may come before the worker has reported its partitions.
    *(step.replace("serve: ", "take over: ", 1) for step in SERVING | BULK if step.startswith("serve: ")),
    # A worker that is fenced, because another process has taken over its identity.
    *(f"{phase}: send Failed" for phase in ("take over", "serve")),
    "take over: Consumer",
    "take over: offer LoadReport",
    # records under suspicion that are committed now
    *(f"{where}: send Cleared" for where in ("take over", "serve", "stop", "commit")),
    "take over: Consumer.list_topics",
    "serve: Consumer.list_topics",
    *(f"{phase}: send Waiting" for phase in ("take over", "serve")),
    "serve/Consumer.on_assign: Consumer.subscribe",  # has lost all its partitions and subscribes again, as a new member
    "take over: Bulk",
    *(f"take over: Bulk.{call}" for call in ("subscribe", "poll", "on_assign")),
    *(f"take over/Bulk.on_assign: {call}" for call in ("Bulk.incremental_assign", "send Serving")),
    "serve/Bulk.on_assign: Bulk.offsets_for_times",
    *(f"serve: {client}.{call}" for client in ("Consumer", "Bulk") for call in ("pause", "resume")),
    *(f"{where}: Committer.renew" for where in ("serve", "serve/Consumer.on_revoke", "serve/Bulk.on_revoke")),
    "stop: Consumer.close",  # closes a spare seat, if the worker is stopped within a second of its takeover
}
COMPUTING = {
    ("serve: Heartbeat.begin", "after"),
    *(("serve: ToyModel.predict", when) for when in WITHIN),
    ("serve: Heartbeat.end", "before"),
}
