"""What happens where an item runs: the call itself, and what stands around it.

invoke         the one place where a user's function is called, on every backend and from every door; each
               item in its own copy of the caller's context variables, and within what stands around it
context        what a worker is prepared with: an initializer that has run, values of context variables
generators     what a function draws random numbers from, given entropy of the worker's own
process_state  what the caller has set for its whole process, and workers are told; logging_state,
               settings and registries are the longer ones of its rows
packed         the same through somebody else's workers: items and outcomes as bytes, one by one
remote_errors  errors on their way from another process
"""
