"""Facts: of the machine, of threads and their clocks, of what the user's function is and does.

What may live here: what asks the system or looks at the user's objects, and concludes nothing.

machine                    what may be used; linux, darwin and windows say where that stands
calibration, facts         what pools cost here; both together, for the doors to hand in
clocks, gil_probe          CPU seconds of other threads; who holds the GIL
hazards                    what in a function forbids another process or thread. Behind it: quick_check (a
                           glance), bytecode, bytecode_calls, opcodes and stack_values (a reading), captures
                           (what it holds), mutation (before and after)
fingerprint, globals_read  whether a worker still knows the function; module globals that go along with it
serialization, sizes       what crossing costs; what results weigh
"""
