"""Run a command and watch the memory of its whole process tree from outside: `sampling.py COMMAND ...`.

After the command's own output it prints a line of JSON: the largest sum of proportional set sizes, how far
the machine's shared memory rose above its level before (which holds segments that nobody maps, too, and what
others do), both in bytes, and the number of samples.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

EVERY_S = 0.050  # reading a process stops its page faults for a moment: more often would slow it down


def main(command: list[str]) -> int:
    """Watch until it ends; its exit status."""
    from benchmarks.processes import tree

    peak, raised, samples, before = 0, 0, 0, tree.shared()
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            # This process leads the session or descends from its leader: the command's tree is below it.
            peak = max(peak, sum(map(tree.pss, tree.members(os.getpid()))))
            raised = max(raised, tree.shared() - before)
            samples += 1
            time.sleep(EVERY_S)
    print(json.dumps({"pss": peak, "shared": raised, "samples": samples}), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(main(sys.argv[1:]))
