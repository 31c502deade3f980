"""The program of one row of the matrix: it sets some kinds of state, maps, and prints what items found.

What may live here: its text. It is a script of its own, for such states are the whole process's, and has no
main guard, as scripts have none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from .kinds import HEAD, Kind

__all__ = ["MOMENTS", "SHOP", "WAYS", "text"]

WAYS = ("threads", "forked", "fresh", "kept copies", "kept fresh")
MOMENTS = ("before", "between")
# A module of the user's, beside the program.
SHOP = """
import abc, functools
RATE = 1
PLUGINS = {}
class Config:
    limit = 1
    def total(self): return 1
class Settings:
    debug = 0
class Shape(abc.ABC): pass
settings = Settings()
@functools.singledispatch
def render(p): return 0
def price(x): return RATE
def limit(): return Config.limit
def download(): return 1
def process(): return download()
def debugs(): return settings.debug
def plugin(): return PLUGINS["a"]()
"""
MAIN = """
def item(x):
    '''Asks for everything.'''
    found = []
    for ask in ASKS:
        try:
            found.append(repr(ask(x)))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found, os.getpid()

def busy(x):
    end = time.thread_time() + 0.03
    while time.thread_time() < end:
        pass
    return item(x)

def mapped(func, count, **how):
    words = ""
    try:
        results = autoexec.map(func, range(count), **how)
        found = list(results)
        plan = results.plan
        words = "; ".join([plan.reason, *(str(hazard) for hazard in plan.hazards)])
        return found, words, plan.backend, ""
    except Exception as error:
        return None, words, "", f"{type(error).__name__}: {error}"

def put(at):
    for setting in SETTINGS[at]:
        exec(setting, globals())

def check(moment):
    begin = AGAIN and (lambda: put(MOMENTS.index(moment))) or (lambda: None)
    begin()
    want = [item(x)[0] for x in range(6)]
    for _ in range(2):
        begin()
        found, words, backend, error = mapped(item, 6, **HOW)
        told.append({"moment": moment, "want": want, "got": found and [one for one, _ in found],
            "pids": found and sorted({pid for _, pid in found}), "words": words, "error": error,
            "way": backend})
    if found is None or [one for one, _ in found] != want:
        begin()
        want = [item(x)[0] for x in range(12)]
        begin()
        found, words, backend, error = mapped(busy, 12)
        told.append({"moment": moment, "want": want, "got": found and [one for one, _ in found],
            "pids": [], "words": words, "error": error, "way": "auto: " + backend})

told = []
out = os.dup(1)
if OTHER_THREAD:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
before = set()
if KEPT:
    try:
        mapped(lambda x: os.getpid(), 6, **HOW)
    except BaseException:
        pass
    before = mapped(item, 6, **HOW)[0]
    before = {pid for _, pid in before or ()}
for at, moment in enumerate(MOMENTS):
    if not AGAIN:
        put(at)
    check(moment)
    if not KEPT:
        autoexec.shutdown()
os.write(out, ("\\n" + json.dumps({"told": told, "kept": sorted(before)}) + "\\n").encode())
"""


def text(kinds: Sequence[Kind], way: str) -> str:
    """The program for some kinds, run in one way."""
    names = dict.fromkeys(name for kind in kinds for name in kind.imports.split(",") if name)
    lines = ["import json, os, sys, threading, time", *(f"import {name}" for name in names)]
    lines += ["import autoexec", HEAD, *dict.fromkeys(kind.define for kind in kinds)]
    for number, kind in enumerate(kinds):
        body = kind.ask if "return " in kind.ask else f"return {kind.ask}"
        lines += [f"def ask_{number}(x):", *(f"    {line}" for line in body.split("; "))]
    lines.append(f"ASKS = ({''.join(f'ask_{number}, ' for number in range(len(kinds)))})")
    settings = [[kind.first for kind in kinds], [kind.second for kind in kinds]]
    backend = "threads" if way == "threads" else "processes"
    facts = {
        "SETTINGS": settings,
        "MOMENTS": list(MOMENTS),
        "HOW": {"backend": backend, "max_workers": 2, "chunksize": 1},
        "OTHER_THREAD": way.endswith("fresh"),
        "KEPT": way.startswith("kept"),
        "AGAIN": any(kind.again for kind in kinds),
    }
    lines += [f"{name} = {value!r}" for name, value in facts.items()]
    return "\n".join([*lines, MAIN, ""])


def answer(output: str) -> dict[str, object]:
    """What the program printed last."""
    found: dict[str, object] = json.loads(output.strip().splitlines()[-1])
    return found
