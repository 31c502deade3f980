"""Judgment: figures in, decisions out; no clock, no threads, nothing is asked of the machine.

What may live here: pure functions and state machines, each with its formula and where that comes from.

classify                        what kind of work it is, from the sample (`engine/monitor.py` sees it while an
                                item runs)
costs, startup_costs            seconds for every way to run the rest: threads, processes, others
sizing                          workers bounded by cores, free memory, descriptors; items per task, items in
                                flight
planner                         from forecasts to the plan: what is refused, what is cheapest, and why
drift, crowding                 does what happens contradict the plan?
admission                       may one more task begin, now that memory is short?
concurrency                     how many calls wait at once. Its rules: latency_limit (the number itself, up
                                and down), slow_start, cohorts, throttling, gil_bound
hosts, rates, retries, answers  whom a call concerns, how often it may begin, whether again, and what became
                                of it (`Retry-After` is read in answers)
"""
