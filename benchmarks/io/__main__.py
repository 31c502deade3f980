"""`python -m benchmarks.io`: see --help."""

from __future__ import annotations

from . import run

if __name__ == "__main__":
    run.main()
