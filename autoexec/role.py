"""Whether this process is one of autoexec's own workers; set once, where a worker begins."""

from __future__ import annotations

__all__ = ["in_worker"]

in_worker = False
