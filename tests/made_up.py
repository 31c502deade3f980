"""What the tables of all benchmarks are tested with."""

from __future__ import annotations

from typing import Any

MACHINE: dict[str, Any] = {
    "python": "3.11",
    "system": "here",
    "processor": "it",
    "cores": 2,
    "date": "today",
    "load_before": 0.0,
    "load_after": 0.0,
}
