"""The work behind the flows: contracts, store, orchestration, steps and the workloads."""
