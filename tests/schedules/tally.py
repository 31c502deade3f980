"""Counts how schedules ended."""

from __future__ import annotations

import time
from collections import Counter

from .draw import draw
from .parent import Report
from .words import in_words

__all__ = ["Tally"]


class Tally:
    """How schedules ended, so far.

    Attributes:
        count: schedules.
        wrong: how many of them went wrong.
    """

    def __init__(self) -> None:
        self.count = self.wrong = 0
        self._began, self._seconds = time.monotonic(), 0.0
        self._kinds: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def note(self, report: Report) -> str:
        """One more; what to say of it, "" if it went well."""
        self.count += 1
        if not report.wrong:
            self._seconds += report.seconds
            return ""
        self.wrong += 1
        for kind in {wrong.kind for wrong in report.wrong}:
            self._kinds[kind] += 1
            self._first.setdefault(kind, report.seed)
        return f"seed {report.seed}: {' '.join(map(str, report.wrong))} -- {in_words(draw(report.seed))}"

    def __str__(self) -> str:
        took_s, well = time.monotonic() - self._began, self.count - self.wrong
        each_ms = 1000 * self._seconds / max(1, well)
        lines = [
            f"{self.wrong} of {self.count} went wrong, in {took_s:.0f} s; {each_ms:.0f} ms for each other"
        ]
        for kind, number in self._kinds.most_common():
            lines.append(f"{number:7} {kind}, as in seed {self._first[kind]}")
        return "\n".join(lines)
