"""Facts: of the machine, of threads and their clocks.

What may live here: what asks the system, and concludes nothing.

machine             what may be used; linux, darwin and windows say where that stands
calibration, facts  what pools cost here; both together, for the doors to hand in
clocks, gil_probe   CPU seconds of other threads; who holds the GIL
momentary           what is set for the whole process while an item runs
sizes               what results weigh
"""
