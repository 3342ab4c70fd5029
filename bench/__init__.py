"""The benchmarks, `standfast bench`: they measure the running system through its topics, as any client would."""
