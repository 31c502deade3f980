"""The command line: `python -m autoexec doctor` and `python -m autoexec demo`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from autoexec.errors import AutoexecError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

REFUSED = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (2: it could not run, with one line that says why)."""
    options = parser().parse_args(argv)
    try:
        return demo(options.quick) if options.command == "demo" else doctor()
    except AutoexecError as error:
        print(f"autoexec: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("autoexec: interrupted", file=sys.stderr)
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """Return the parser, with one sub-parser for each command."""
    top = argparse.ArgumentParser(
        prog="python -m autoexec",
        description="Measures a function, picks threads, processes or the plain loop, and says why.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="what was found on this machine, and what pools cost on it")
    show = commands.add_parser("demo", help="four real workloads beside the plain loop (about a minute)")
    show.add_argument("--quick", action="store_true", help="fewer items: about ten seconds")
    return top


def doctor() -> int:
    """Print the machine as autoexec sees it, with the measured costs of its pools."""
    from autoexec.measure import calibration
    from autoexec.measure.machine import look_closely
    from autoexec.report.machine import machine_text

    print(machine_text(look_closely(), calibration.measure()))
    return 0


def demo(quick: bool) -> int:
    """Run the demo; 1 if a result differs from the serial loop's."""
    from autoexec.demo import run

    return run.main(quick)
