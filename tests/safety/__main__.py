"""Every program of the corpus, as a loop and through `autoexec.map`: what is lost, what is held for nothing?

    python -m tests.safety [--ms 8] [--threads] [--python P] [--everyday] [--every 4] [NAME ...]

Each runs in a process of its own. `--everyday` takes the larger set, which was written by somebody who had
not seen how looking works; `--every 4` takes each fourth program. An effect is lost if the state or the
results are not the loop's and nothing was said (where a program shows no state: if it went to worker
processes); a harmless one is held if it did not go there, on a machine of several cores. Exit status 1 if an
effect was lost, or if more than 5 % were held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .corpus import EFFECTS, HARMLESS, everyday

HEAD = """
import os, sys, time, json, threading
import autoexec
if THREADS:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
ITEMS = list(range(COUNT))
"""
FOOT = """
_inner = work
def work(x):
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass
    return _inner(x)
_said, _plan, _out = "", "", None
try:
    if LOOP:
        _out = [work(item) for item in ITEMS]
    else:
        _results = autoexec.map(work, ITEMS)
        _out = list(_results)
        _plan = _results.plan.backend
except autoexec.EffectLost as _error:
    _said = str(_error)
if "finish" in globals() and _out is not None:
    _out = finish(_out)
_shown = repr(state()) if "state" in globals() else None
_cores = autoexec.machine().usable
print("\\n" + json.dumps({"plan": _plan, "said": _said, "out": repr(_out), "shown": _shown, "cores": _cores}))
sys.stdout.flush()
os._exit(0)
"""


def run(text: str, folder: str, wishes: argparse.Namespace, *, loop: bool) -> dict[str, Any]:
    """One program; what it printed last."""
    count = 24 if wishes.everyday else 400 if wishes.ms < 5 else 40 if wishes.ms < 200 else 12
    seconds = 0.0 if loop else wishes.ms / 1000
    facts = f"LOOP, THREADS, COUNT, SECONDS = {loop}, {wishes.threads}, {count}, {seconds}\n"
    script = Path(folder) / "program.py"
    script.write_text(facts + HEAD + text + FOOT, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [wishes.python, str(script)], env=env, cwd=folder, capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {"crash": done.stderr.strip().splitlines()[-1:]}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def verdict(want: dict[str, Any], got: dict[str, Any], *, harmless: bool) -> str:
    """In one word; "" where all is well."""
    if "crash" in got or "crash" in want:
        return f"crash {got.get('crash', want.get('crash'))}"
    if not harmless:
        if want["shown"] is None:
            return "lost" if got["plan"] == "processes" and not got["said"] else ""
        same = got["shown"] == want["shown"] and got["out"] == want["out"]
        return "" if same or got["said"] else "lost"
    if got["said"]:
        return f"said {got['said']}"
    if got["plan"] != "processes" and got["cores"] > 1:
        return "held"
    return "" if got["out"] == want["out"] or "unseeded" in got["out"] else "the results differ"


def main() -> int:
    """Run what was asked for, and print a line for each that is not as it should be."""
    parser = argparse.ArgumentParser("python -m tests.safety", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--ms", type=float, default=8.0)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--everyday", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    wishes = parser.parse_args()
    sets = (everyday("effects"), everyday("harmless")) if wishes.everyday else (EFFECTS, HARMLESS)
    counts = {"effects": 0, "harmless": 0, "lost": 0, "held": 0, "other": 0}
    with tempfile.TemporaryDirectory() as folder:
        for kind, programs in zip(("effects", "harmless"), sets, strict=True):
            for name, text in [*programs.items()][:: wishes.every]:
                if wishes.names and name not in wishes.names:
                    continue
                want = run(text, folder, wishes, loop=True)
                word = verdict(want, run(text, folder, wishes, loop=False), harmless=kind == "harmless")
                counts[kind] += 1
                if word:
                    print(f"{name}: {word}", flush=True)
                    counts[word if word in counts else "other"] += 1
    print(f"items of {wishes.ms:g} ms{', another thread' if wishes.threads else ''}: " + json.dumps(counts))
    return bool(counts["lost"] or counts["other"] or counts["held"] > 0.05 * max(1, counts["harmless"]))


if __name__ == "__main__":
    sys.exit(main())
