"""`python -m benchmarks.processes [run | cold | faults | leaks]`; `run` is the default."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import cold, faults, leaks, run

PARTS = {"run": run, "cold": cold, "faults": faults, "leaks": leaks}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one part; the exit status is 1 if it makes a claim that does not hold."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given.pop(0) if given and given[0] in PARTS else "run"
    part = PARTS[name]
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.processes {name}",
        description=part.__doc__,
        epilog=f"The parts: {', '.join(PARTS)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.add_arguments(parser)
    return part.main(parser.parse_args(given))


if __name__ == "__main__":
    sys.exit(main())
