"""The state matrix: what a program has set for its process, found by items wherever they run.

    python -m tests.twin [--jobs N] [--python P] [--all] [--alone] [NAME ...]

One row for each kind, one pair of cells for each way to run: set before the first map, and set to something
else between two. "=" is the plain loop's value. "stays" is a plan that names what workers cannot have, and,
left to choose, keeps the work here. "WRONG" is anything else; exit status 1 if there is any. A NAME is a part
of a kind's name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile

from .cells import Cell, run
from .kinds import KINDS, Kind
from .program import MOMENTS, WAYS


def main() -> int:
    """Run what was asked for, and print the table."""
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.twin", description=__doc__, formatter_class=how)
    parser.add_argument("names", nargs="*", metavar="NAME", help="kinds with this in their names")
    parser.add_argument("--jobs", type=int, default=2, help="programs at a time")
    parser.add_argument("--python", default=sys.executable, help="the interpreter")
    parser.add_argument("--alone", action="store_true", help="a program for each kind")
    parser.add_argument("--way", choices=WAYS, action="append", help="only these ways to run")
    wishes = parser.parse_args()
    kinds = [kind for kind in KINDS if not wishes.names or any(name in kind.name for name in wishes.names)]
    ways = tuple(wishes.way or WAYS)
    with tempfile.TemporaryDirectory(prefix="twin-") as folder:
        found = run(kinds, ways, folder, python=wishes.python, jobs=wishes.jobs, alone=wishes.alone)
    return _table(kinds, ways, found)


def _table(kinds: list[Kind], ways: tuple[str, ...], found: dict[tuple[str, str, str], Cell]) -> int:
    columns = [(way, moment) for way in ways for moment in MOMENTS]
    width = max(len(kind.name) for kind in kinds)
    print(" " * width, *(f"{way:<16}" for way in ways))
    print(" " * width, *(f"{moment:<7}" + " " * (moment == MOMENTS[-1]) for _, moment in columns))
    notes: list[str] = []
    for kind in kinds:
        cells = [found[kind.name, way, moment] for way, moment in columns]
        print(
            f"{kind.name:<{width}}",
            *(
                f"{cell.word:<7}" + " " * (m == MOMENTS[-1])
                for cell, (_, m) in zip(cells, columns, strict=True)
            ),
        )
        for cell, (way, moment) in zip(cells, columns, strict=True):
            if cell.why:
                notes.append(f"{kind.name}, {way}, {moment}: {cell.word}: {cell.why}")
    print(*dict.fromkeys(notes), sep="\n")
    words = [cell.word for cell in found.values()]
    counts = {word: words.count(word) for word in sorted(set(words))}
    print(f"{len(kinds)} kinds, {len(words)} cells: {counts}")
    return int("WRONG" in counts)


if __name__ == "__main__":
    sys.exit(main())
