"""What this process is: whether it is one of autoexec's own workers, and how many cores it may keep busy.

All but the switch interval is set once, where a worker begins.
"""

from __future__ import annotations

__all__ = ["cores", "fresh", "in_worker", "switch_interval", "variables"]

in_worker = False
fresh = False  # a worker that was started as an interpreter of its own: its `__main__` is empty
cores: int | None = None  # a worker's share of the machine; None in a process that has no such limit
variables: frozenset[str] = frozenset()  # of its environment, which its share has set
switch_interval: float | None = None  # the program's own, while another one is set for measuring
