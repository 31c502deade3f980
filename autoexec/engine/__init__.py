"""The one floor that knows everybody: it samples, decides, runs and replans.

What may live here: who does what, and when. What is so stands in `measure`, what follows from it in `decide`.

run                          one map, from the first item to the last; its states, and what may follow each;
                             what ends it, Ctrl-C included
submit                       one executor: each function is learned from its first calls, and then has a route
study                        a few items only to learn what they cost: `profile` and `explain`
call_specs                   what of the options goes along with every call, such as what stands around items
source, largest_first        where items come from
sampling, monitor            what is learned from the items that run in the caller's thread, while they run
                             and after
planning                     facts and judgment together make a plan, and open its backend
pool, ramp                   a plan's workers: opened step by step, and whether the work fits
contention, memory           what is watched meanwhile: the GIL, free memory
scheduler                    the tables' doors. Behind it, each doing one thing: ledger, turns (the lock),
                             slot_mail, futures, delivery (the consumer is woken), waiting (into which line),
                             settling (what has ended), changes, handing_out, deadlines, executor_calls
tracks                       a backend as one run has opened it, and the places of its workers
queues                       tasks that wait, for their turn, their rate, their pause
limits                       all calls to all hosts together: how many at once, whom an answer concerns
host_limits                  one host's: its rate, its pause (`Retry-After` obeyed), its budget of retries
host_counts                  what a run says of each host at its end
verdict                      what a finished task says of the other side, and which items run again
result_order                 results put back into order, or as they come
sink, metrics                the last stretch: errors as the caller wishes, the bar, counts
bookkeeping                  finished results into the journal
fork_generation, reentrancy  whether this process was forked since; whether a finalizer asks amid our own code
"""
