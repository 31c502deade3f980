"""`python -m autoexec`: see `autoexec.cli`."""

from __future__ import annotations

import sys

from autoexec.cli import main

if __name__ == "__main__":
    sys.exit(main())
