"""Worker processes.

    scheduler ◄── asks ── Supervisor (thread) ═ channel, status page ═► Seat (thread) in a worker process
              ◄── completed ──┘        │                                     │
                              WorkerPool: starts, keeps, ends         WorkerState: functions, resources

`backend` is what the engine opens: it has one supervisor for each seat, and watches them.

`supervisor` is a thread of the caller's for one seat. It asks the scheduler for a task, sends it, and says
what became of it. It knows at any moment what its worker holds and which item of it runs, so that when the
worker dies exactly that item is named; the worker is replaced for what is left.

`worker_pool` starts the workers of one call, takes those that rest (`idle`; `reaper` hears of their ends),
gives them back, and finds out how they ended (`exit_messages`; `fuse`: how many in a row are enough). `start`
forks where that is safe, and starts fresh interpreters elsewhere, with the flags of this one (`interpreter`).

`worker` is a worker process as the caller sees it, with its seats; `child` is the process itself, never taken
for another one with its number. `worker_main` is what runs there: a share of the cores, a lifeline to the
caller, a thread for each seat; `identity` is what `multiprocessing` takes it for. `server` is what a seat
does with its tasks; `left_behind` ends what items have started, with the worker.

What travels: `messages` are the kinds, `channel` carries them, `payload` is an object as bytes, whose large
arrays stand in `shared_memory`; `endpoints` are the two ends before anybody sits there. `status_page` is a
page of memory that both sides see, and that outlives the worker: which item runs, and since when. `sent` is a
task on its way.

`functions` are known by numbers and sent once; `module_globals` go along with them. What the caller has set
for its process is told to workers that have not got it (`worker.process_state`); `surroundings` are what
items have printed. `handles` are what the caller had open when a worker was forked; `standard_input` stays
the caller's, `streams` are the others' numbers; `tracker` is multiprocessing's, for shared memory. `written`
finds out who writes to what all workers share; `native_threads` says whose threads survive a fork.

`balancing` shares out what is left of a long task; `stall_log` says so when nothing has ended for far longer
than items take, or when one worker is at a `standstill`.
"""
