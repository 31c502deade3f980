"""Run a piece of Python in a fresh interpreter that uses bytecode and finds this checkout."""

from __future__ import annotations

import subprocess
import sys

from .run import ROOT, environment

__all__ = ["fresh"]


def fresh(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run `code`; a failure ends the benchmark with the last line of its traceback."""
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=300)
    if done.returncode:
        raise SystemExit(f"failed: {done.stderr.strip().splitlines()[-1]}")
    return done
