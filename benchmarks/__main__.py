"""`python -m benchmarks [run | trivial | imports | memory | all]`; `all` is the default."""

from __future__ import annotations

import argparse

from . import imports, memory, run, table, trivial

SMALL = {"trivial": trivial.main, "imports": imports.main, "memory": memory.main}


def main() -> None:
    """Run what was asked for; with --markdown, put each result into its place on the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=["run", *SMALL, "all"])
    run.add_arguments(parser)
    options = parser.parse_args()
    run.bytecode()
    for name, small in SMALL.items():
        if options.what in (name, "all"):
            result = small()
            print(result, flush=True)
            if options.markdown:
                table.write_into(options.markdown, name, result)
    if options.what in ("run", "all"):
        run.main(options)


if __name__ == "__main__":
    main()
