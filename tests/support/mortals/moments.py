"""Every step of a worker process (`steps`), and the moments around it at which tests kill it.

After each step is enough where one step follows another; before it too where what came before was repeated, and within
it where Kafka does its part meanwhile.
"""

from __future__ import annotations

from tests.support.orders import When

Table = dict[str, tuple[When, ...]]
AFTER: tuple[When, ...] = ("after",)
AROUND: tuple[When, ...] = ("before", "after")
WITHIN: tuple[When, ...] = ("before", "in", "after")

# Of a new process, until it stands by with everything but an identity.
STARTING: Table = {
    "start: Heartbeat.reset": AFTER,
    "start: LifeLock.hold": AFTER,
    "start: ToyModel.warm_up": AFTER,
    "start: ToyModel.predict": WITHIN,  # the rehearsal, of a request that nobody sent
    "start: Producer": AFTER,
    "start: Replies": AFTER,
    "start: Replies.list_topics": AFTER,
    "reply-topics: AdminClient": AFTER,
    "start: Consumer": AFTER,
    "start: Consumer.list_topics": AFTER,
    "start: Seats.connect": AFTER,
    "start: send Ready": AFTER,
}
# From the order to take over an identity to its partitions.
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
# One batch after the other, in the thread that polls and computes.
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
# Its transaction, in the thread that commits; what may hang is called in one beside it (`standfast.core.bounded`).
COMMITTING: Table = {
    "start: Producer.list_topics": AFTER,
    "start: Producer.init_transactions": ("in", "after"),
    "commit: Producer.begin_transaction": AROUND,
    "bounded: Producer.send_offsets_to_transaction": WITHIN,
    "commit: Producer.produce": AROUND,
    "commit: Producer.commit_transaction": WITHIN,
}
# What goes to topics that requests name, before that transaction; and the thread that asks about those topics.
REPLYING: Table = {
    "commit: Replies.produce": WITHIN,
    "commit: Replies.poll": WITHIN,
    "reply-topics: AdminClient.describe_topics": AROUND,
}
# Partitions given up and got back.
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
# A worker more than before, and one fewer.
JOINING: Table = {"take over/Consumer.on_assign: Consumer.subscribe": AROUND}
LEAVING: Table = {
    "serve: Consumer.unsubscribe": WITHIN,
    "serve: Bulk.unsubscribe": WITHIN,
    "stop: send Left": AROUND,
}
# The second reader, a second after the first.
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
# Threads that only listen, and show that the process lives.
BESIDE: Table = {"orders: receive": AFTER, "tick: Heartbeat.tick": AROUND}

EXACTLY_ONCE = STARTING | TAKING_OVER | SERVING | COMMITTING | BULK | STOPPING | BESIDE
AT_LEAST_ONCE: Table = {
    "commit: Producer.produce": AROUND,
    "commit: Producer.flush": WITHIN,
    "serve: Consumer.commit": WITHIN,
    "serve: Bulk.commit": AROUND,
}
# A batch that is computed for longer than its transaction is kept open.
LONG_BATCH: Table = {"commit: Producer.abort_transaction": WITHIN}
COMMIT = "commit: Producer.commit_transaction"
# A commit that timed out: whether it was done is asked of Kafka, by a new producer that has fenced the old one.
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
# Not among the moments: they come when a rebalance meets a commit, a newcomer waits long for its first partitions, or
# the machine is slow, and are the same that others die at in their usual place.
SOMETIMES = {
    # What a worker does once it serves, where its first records come before it has told of its partitions.
    *(step.replace("serve: ", "take over: ", 1) for step in SERVING | BULK if step.startswith("serve: ")),
    # Fenced by the next to take over its identity: the last word of a process that owes nothing any more.
    *(f"{phase}: send Failed" for phase in ("take over", "serve")),
    "take over: Consumer",
    "take over: offer LoadReport",
    # of what somebody died of before
    *(f"{where}: send Cleared" for where in ("take over", "serve", "stop", "commit")),
    "take over: Consumer.list_topics",
    "serve: Consumer.list_topics",
    *(f"{phase}: send Waiting" for phase in ("take over", "serve")),
    "serve/Consumer.on_assign: Consumer.subscribe",  # had partitions, lost all, and asks again as a newcomer does
    "take over: Bulk",
    *(f"take over: Bulk.{call}" for call in ("subscribe", "poll", "on_assign")),
    *(f"take over/Bulk.on_assign: {call}" for call in ("Bulk.incremental_assign", "send Serving")),
    "serve/Bulk.on_assign: Bulk.offsets_for_times",
    *(f"serve: {client}.{call}" for client in ("Consumer", "Bulk") for call in ("pause", "resume")),
    *(f"{where}: Committer.renew" for where in ("serve", "serve/Consumer.on_revoke", "serve/Bulk.on_revoke")),
    "stop: Consumer.close",  # of a spare seat, where a worker is stopped within a second of its takeover
}
COMPUTING = {
    ("serve: Heartbeat.begin", "after"),
    *(("serve: ToyModel.predict", when) for when in WITHIN),
    ("serve: Heartbeat.end", "before"),
}
