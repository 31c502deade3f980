"""Where one run of a schedule takes place: what its items note, its meter, its files."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Meter", "World"]


@dataclass
class Meter:
    """What was pulled from an input and what was delivered of it.

    Attributes:
        pulled: items that the input has given.
        delivered: results that the consumer has got.
        most: the most items that were pulled and not delivered at a time.
        pullers: the threads that pulled.
        used: whether the input counts at all.
    """

    pulled: int = 0
    delivered: int = 0
    most: int = 0
    pullers: set[int] = field(default_factory=set)
    used: bool = False

    def pull(self) -> None:
        """The input gives one more item."""
        self.pulled += 1
        self.most = max(self.most, self.pulled - self.delivered)
        self.pullers.add(threading.get_ident())


@dataclass
class World:
    """One map's surroundings.

    Attributes:
        folder: for its files; two runs that share a journal share it.
        library: whose doors are used.
        notes: of calls in this process: place, begin, end, remark.
        meter: of its input.
        ready: threads in which the initializer has run.
        consumers: threads that may pull from the input.
        chained: results that are the input of others, or None.
    """

    folder: str
    library: Any
    notes: list[tuple[int, int, int, str]] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)
    ready: list[int] = field(default_factory=list)
    consumers: set[int] = field(default_factory=set)
    chained: Any = None

    def __post_init__(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        self.consume_here()

    @property
    def path(self) -> str:
        """The file for notes of calls."""
        return f"{self.folder}/notes"

    @property
    def gate(self) -> str:
        """The file that lets go what hangs."""
        return f"{self.folder}/gate"

    @property
    def variable(self) -> str:
        """The environment variable in which an initializer leaves word in its process."""
        return "SCHEDULES_" + Path(self.folder).name.upper().replace("-", "_")

    def close(self) -> None:
        """Let go what only the schedule itself still holds."""
        if self.chained is not None:
            self.chained.close()

    def open_gate(self) -> None:
        """Let go what hangs."""
        Path(self.gate).touch()

    def consume_here(self) -> None:
        """The calling thread may pull from the input."""
        self.consumers.add(threading.get_ident())
