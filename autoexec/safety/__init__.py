"""What must not leave the caller's process, or its thread: effects on objects, and what cannot be sent.

What may live here: what looks at the user's function and objects, without running any of it.

effects                    what items change of the caller's state, seen by looking around some of them.
                           Behind it: reach (all that a function can reach), readings (how that is read),
                           look (notes, and what differs), guards (what is filled only behind a look),
                           mutation (arguments), memos (what workers fill comes home); watch does the same
                           in worker processes, and renewed says what these have of their own
hazards                    what in a function forbids another process or thread. Behind it: quick_check (a
                           glance), bytecode, bytecode_calls, opcodes and stack_values (a reading), captures
                           (what it holds), item_state (what it sets for an item's own time, or needs of its
                           thread; process_names has the rows of names, named finds who names them)
thread_locals              what the caller's thread has set, and a function reads
fingerprint, globals_read  whether a worker still knows the function; module globals that go along with it;
                           library_parts (what stands in libraries and is not theirs)
ties                       what it uses of this process that no worker can be given; copies_only has what
                           the interpreter was told
moving                     inputs that change while they are read on, or while the function runs
repeatable                 whether nobody could tell that an item was called once more
serialization              what crosses, and what that costs
"""
