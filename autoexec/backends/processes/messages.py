"""The kinds of frames between caller and worker."""

from __future__ import annotations

# To the worker. FUNCTION: serial is its number, first the task that wants it. TASK: number of the function,
# index of the first item, and the items (or the index after the last, where a forked worker has inherited the
# input). SCENE: what the caller has set for its process. REST: the call is over. BIRTH: what a fresh worker
# is to the program, before anything else.
FUNCTION, TASK, SCENE, REST, BIRTH = 1, 2, 3, 4, 8

# To the caller. LOG: small results, one pickle after the other, that end at place `first` of the task.
# VALUE: the outcome at place `first`. DONE: an error with its traceback as text or None, wall and CPU
# seconds, one of the numbers below; the last part is a log.
LOG, VALUE, DONE = 5, 6, 7

# Why nothing of a task was run.
FUNCTION_UNFIT, ITEMS_UNFIT = 1, 2
