"""What must not leave the caller's process, or its thread: effects on objects, and what cannot be sent.

What may live here: what looks at the user's function and objects, without running any of it.

effects                    what items change of the caller's state, seen by looking around some of them.
                           Behind it: reach (all that a function can reach), readings (how that is read),
                           look (notes, and what differs),
                           mutation (arguments); watch does the same in worker processes
hazards                    what in a function forbids another process or thread. Behind it: quick_check (a
                           glance), bytecode, bytecode_calls, opcodes and stack_values (a reading), captures
                           (what it holds)
fingerprint, globals_read  whether a worker still knows the function; module globals that go along with it
repeatable                 whether nobody could tell that an item was called once more
serialization              what crosses, and what that costs
"""
