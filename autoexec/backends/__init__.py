"""Workers that ask for tasks; each backend is one file, or one room, and one row of `registry`.

What may live here: how tasks are run somewhere, and never which or why.

base                       the two contracts: a backend, and what it sees of the scheduler
opening                    what a backend is opened with
lost_effects               what a worker's looks have found there: an error in its place, or what goes home
guard                      a backend of somebody else's, whose faults are told from ours
inline                     the caller's own thread
threads, event_loop        threads of this process, tasks of an event loop; both close what each made
processes/                 worker processes of our own
executors, interpreters    somebody else's executor, joblib's workers, interpreters
core_budget                workers times the threads of BLAS and OpenMP stay within the cores: the limits are
                           set here
native_pools               finds those libraries in this process, and sets one of them
"""
