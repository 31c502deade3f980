"""Small programs that set something for an item's own time, need their thread, or take in order; look-alikes.

Each defines `work(x)`. `THREADS`: threads of this process would change what it does, other processes of one
thread each would not. `BOTH`: it must stay in the caller's thread. `HARMLESS`: threads may have it.
"""

from __future__ import annotations

__all__ = ["BOTH", "HARMLESS", "THREADS"]

THREADS: dict[str, str] = {
    "chdir": """
import os
def work(x): os.chdir(x); return os.listdir()
""",
    "chdir under another name": """
from os import chdir as cd
def work(x): cd(x)
""",
    "chdir that is imported inside": """
def work(x):
    import os as system
    here = system.getcwd()
    system.chdir(x)
    system.chdir(here)
""",
    "chdir from a module inside": """
def work(x):
    from os import getcwd, chdir
    chdir(x)
""",
    "chdir by getattr": """
import os
def work(x): getattr(os, "chdir")(x)
""",
    "chdir through a variable": """
import os
def work(x):
    go = os.chdir
    go(x)
""",
    "contextlib.chdir": """
import contextlib
def work(x):
    with contextlib.chdir(x): return x
""",
    "a context manager of the user's": """
import os
from contextlib import contextmanager
@contextmanager
def inside(path):
    here = os.getcwd()
    os.chdir(path)
    try: yield
    finally: os.chdir(here)
def work(x):
    with inside(x): return x
""",
    "a class with __enter__": """
import os
class Inside:
    def __init__(self, path): self.path = path
    def __enter__(self): self.here = os.getcwd(); os.chdir(self.path)
    def __exit__(self, *args): os.chdir(self.here)
def work(x):
    with Inside(x): return x
""",
    "a decorator": """
import functools, os
def in_folder(func):
    @functools.wraps(func)
    def inner(x):
        os.chdir(x)
        return func(x)
    return inner
@in_folder
def work(x): return x
""",
    "a table of functions": """
import os
def go(x): os.chdir(x)
STEPS = {"go": go}
def work(x): STEPS["go"](x)
""",
    "a property": """
import os
class Place:
    @property
    def files(self): os.chdir("/tmp/a"); os.chdir("/tmp/b"); return os.listdir()
PLACE = Place()
def work(x): return PLACE.files
""",
    "redirect_stdout": """
import contextlib, io
def work(x):
    with contextlib.redirect_stdout(io.StringIO()) as out: print(x)
    return out.getvalue()
""",
    "redirect_stderr on a stack": """
import io
from contextlib import ExitStack, redirect_stderr
def work(x):
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(io.StringIO()))
        return x
""",
    "sys.stdout by hand": """
import io, sys
def work(x):
    old, sys.stdout = sys.stdout, io.StringIO()
    try: print(x)
    finally: sys.stdout = old
""",
    "random.seed": """
import random
def work(x): random.seed(x); return random.random()
""",
    "random.seed under another name": """
from random import seed as plant, random as draw
def work(x): plant(0); return draw()
""",
    "random.setstate": """
import random
STATE = random.getstate()
def work(x): random.setstate(STATE); return random.random()
""",
    "np.random.seed": """
import numpy as np
def work(x): np.random.seed(x); return np.random.rand()
""",
    "warnings by item": """
import warnings
def work(x):
    warnings.simplefilter("error" if x else "ignore")
    return x
""",
    "setlocale": """
import locale
def work(x):
    old = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, x)
    locale.setlocale(locale.LC_ALL, old)
""",
    "a calendar in a language": """
import calendar
def work(x): return calendar.LocaleTextCalendar(locale="C").formatmonth(2020, x)
""",
    "umask": """
import os
def work(x):
    old = os.umask(0o077)
    try: return x
    finally: os.umask(old)
""",
    "an alarm, with its handler": """
import signal
def late(*args): raise TimeoutError
def work(x):
    signal.signal(signal.SIGALRM, late)
    signal.alarm(5)
    try: return x
    finally: signal.alarm(0)
""",
    "setitimer": """
import signal
def work(x): signal.setitimer(signal.ITIMER_REAL, 5); signal.setitimer(signal.ITIMER_REAL, 0); return x
""",
    "the main thread is wanted": """
import threading
def work(x): assert threading.current_thread() is threading.main_thread(); return x
""",
    "setrecursionlimit by item": """
import sys
def work(x): sys.setrecursionlimit(1000 + x); return x
""",
    "setrecursionlimit and back": """
import sys
def work(x):
    sys.setrecursionlimit(5000)
    try: return x
    finally: sys.setrecursionlimit(1000)
""",
    "mock.patch": """
from unittest import mock
import os
def work(x):
    with mock.patch.object(os, "getcwd", lambda: x): return os.getcwd()
""",
    "mock.patch.dict": """
from unittest.mock import patch
import os
def work(x):
    with patch.dict(os.environ, {"A": str(x)}): return os.environ["A"]
""",
    "decorated by mock.patch": """
from unittest import mock
@mock.patch("os.getcwd", lambda: "here")
def work(x): return x
""",
    "setdefaulttimeout": """
import socket
def work(x): socket.setdefaulttimeout(x); return x
""",
    "tzset": """
import time
def work(x): time.tzset(); return time.strftime("%H")
""",
    "gc.disable": """
import gc
def work(x):
    gc.disable()
    try: return x
    finally: gc.enable()
""",
    "sys.setprofile": """
import sys
def work(x): sys.setprofile(None); return x
""",
    "cProfile": """
import cProfile
def work(x):
    with cProfile.Profile(): return x
""",
    "tracemalloc": """
import tracemalloc
def work(x): tracemalloc.start(); tracemalloc.stop(); return x
""",
    "logging.disable": """
import logging
def work(x):
    logging.disable(logging.CRITICAL)
    try: return x
    finally: logging.disable(logging.NOTSET)
""",
    "a logger's level and back": """
import logging
def work(x):
    log = logging.getLogger("noisy")
    log.setLevel(logging.ERROR)
    try: return x
    finally: log.setLevel(logging.INFO)
""",
    "a handler for an item": """
import logging
LOG = logging.getLogger("items")
def work(x):
    handler = logging.NullHandler()
    LOG.addHandler(handler)
    LOG.removeHandler(handler)
    return x
""",
    "a handler for an item, of a logger that is asked for": """
import logging
def work(x):
    log = logging.getLogger("asked.for")
    handler = logging.NullHandler()
    log.addHandler(handler)
    log.removeHandler(handler)
    return x
""",
    "a class's attribute, in a context manager": """
class Settings:
    level = 0
class At:
    def __init__(self, level): self.level = level
    def __enter__(self): self.old = Settings.level; Settings.level = self.level
    def __exit__(self, *args): Settings.level = self.old
def work(x):
    with At(x): return Settings.level
""",
    "csv.field_size_limit and back": """
import csv
def work(x):
    old = csv.field_size_limit(100)
    csv.field_size_limit(old)
    return x
""",
    "in a helper's helper": """
import os
def third(x): os.chdir(x)
def second(x): third(x)
def first(x): second(x)
def work(x): first(x)
""",
    "in a nested function": """
import os
def work(x):
    def go(): os.chdir(x)
    go()
""",
    "dup2": """
import os
def work(x): os.dup2(x, 1); return x
""",
}

BOTH: dict[str, str] = {
    "input()": """
def work(x): return input()
""",
    "sys.stdin.readline": """
import sys
def work(x): return sys.stdin.readline()
""",
    "a loop over standard input": """
import sys
def work(x):
    for line in sys.stdin: return line
""",
    "stdin that was imported": """
from sys import stdin
def work(x): return stdin.read(1)
""",
    "stdin, by another name": """
import sys
LINES = sys.stdin
def work(x): return next(LINES)
""",
    "stdin's buffer": """
import sys
def work(x): return sys.stdin.buffer.read(1)
""",
    "stdin that is imported inside": """
def work(x):
    import sys
    return sys.stdin.read(1)
""",
    "fileinput": """
import fileinput
def work(x): return next(fileinput.input())
""",
    "a file of descriptor 0": """
def work(x):
    with open(0, closefd=False) as file: return file.readline()
""",
    "/dev/stdin": """
def work(x):
    with open("/dev/stdin") as file: return file.readline()
""",
    "input() in a helper": """
def ask(): return int(input("number? "))
def work(x): return ask() + x
""",
    "a global iterator": """
IDS = iter(range(100))
def work(x): return next(IDS)
""",
    "a count": """
import itertools
IDS = itertools.count()
def work(x): return x, next(IDS)
""",
    "a captured generator": """
def make():
    numbers = (n * n for n in range(100))
    def work(x): return next(numbers)
    return work
work = make()
""",
    "rows of a csv reader": """
import csv
ROWS = csv.reader(["a,b", "c,d"] * 50)
def work(x): return next(ROWS)
""",
    "an iterator in a class": """
class Numbers:
    source = iter(range(100))
    def next(self): return next(self.source)
NUMBERS = Numbers()
def work(x): return NUMBERS.next()
""",
    "an iterator in a list": """
SOURCES = [iter(range(100))]
def work(x): return next(SOURCES[0])
""",
    "an iterator that is a default": """
def work(x, ids=iter(range(100))): return next(ids)
""",
    "a bound __next__": """
import itertools
new_id = itertools.count().__next__
def work(x): return new_id()
""",
    "a queue that is emptied": """
import queue
JOBS = queue.Queue()
for n in range(100): JOBS.put(n)
def work(x): return JOBS.get()
""".replace("for n in range(100): JOBS.put(n)\n", "JOBS.queue.extend(range(100))\n"),
    "a deque that is emptied": """
import collections
JOBS = collections.deque(range(100))
def work(x): return JOBS.popleft()
""",
    "rows of a cursor": """
import sqlite3
ROWS = sqlite3.connect(":memory:", check_same_thread=False).execute("select 1 union select 2")
def work(x): return ROWS.fetchone()
""",
    "the event loop of the caller": """
import asyncio
def work(x): return asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, x))
""",
    "the event loop, under another name": """
from asyncio import get_event_loop as the_loop
def work(x): return the_loop().run_until_complete(None)
""",
    "tkinter": """
import sys, types
tkinter = types.ModuleType("tkinter")
tkinter.Tk = object
def work(x): return tkinter.Tk()
""",
    "an alarm, with the program's own handler": """
import signal
def late(*args): raise TimeoutError
signal.signal(signal.SIGALRM, late)
def work(x): signal.alarm(5); signal.alarm(0); return x
""",
    "a thread-local that the caller has set": """
import threading
CURRENT = threading.local()
CURRENT.tenant = "blue"
def work(x): return CURRENT.tenant
""",
    "one that a helper reads": """
import threading
CURRENT = threading.local()
def use(tenant): CURRENT.tenant = tenant
def tenant(): return getattr(CURRENT, "tenant", None)
use("blue")
def work(x): return tenant()
""",
    "one with values of its own, changed": """
import threading
class Current(threading.local):
    def __init__(self): self.tenant = None
CURRENT = Current()
CURRENT.tenant = "blue"
def work(x): return CURRENT.tenant
""",
    "one that is read by a method": """
import threading
class Current(threading.local):
    def get(self): return self.tenant
CURRENT = Current()
CURRENT.tenant = "blue"
def work(x): return CURRENT.get()
""",
    "one that counts": """
import threading
CURRENT = threading.local()
CURRENT.count = 0
def work(x): CURRENT.count += 1; return CURRENT.count
""",
}

HARMLESS: dict[str, str] = {
    "a generator of its own": """
import random
def work(x): rng = random.Random(); rng.seed(x); return rng.random()
""",
    "default_rng": """
import numpy as np
def work(x): return np.random.default_rng(x).random()
""",
    "RandomState of its own": """
import numpy as np
def work(x): state = np.random.RandomState(x); state.seed(x + 1); return state.rand()
""",
    "unseeded draws": """
import random
def work(x): return random.random() + x
""",
    "a seed of the user's": """
def seed(x): return x + 1
def work(x): return seed(x)
""",
    "an object with a seed": """
class Field:
    def seed(self, n): return n
FIELD = Field()
def work(x): return FIELD.seed(x)
""",
    "an argument named input": """
def work(input): return input + 1
""",
    "an input of the user's": """
def input(x): return x
def work(x): return input(x)
""",
    "requests.patch": """
class Client:
    def patch(self, url): return url
CLIENT = Client()
def work(x): return CLIENT.patch(x)
""",
    "an ftp client's directory": """
class Client:
    def chdir(self, path): return path
def work(x): return Client().chdir(x)
""",
    "the working directory is read": """
import os
def work(x): return os.path.join(os.getcwd(), str(x))
""",
    "a folder for a child": """
import subprocess
def work(x): return subprocess.Popen(["true"], cwd="/", stdin=subprocess.PIPE).stdin
""",
    "a child's standard input": """
def work(proc): proc.stdin.write(b"x"); return proc.stdout.read()
""",
    "stdin is a key": """
def work(x): return {"stdin": x}
""",
    "stdin is asked for a terminal": """
import sys
def work(x): return x if sys.stdin.isatty() else -x
""",
    "print": """
def work(x): print(x); return x
""",
    "sys.stdout.write": """
import sys
def work(x): sys.stdout.write(""); return x
""",
    "environ is read": """
import os
def work(x): return os.environ.get("HOME"), os.environ["PATH"], os.getenv("A")
""",
    "a dict by what environ says": """
import os
def work(x): found = {}; found[os.environ["PATH"]] = x; return found
""",
    "a copy of environ": """
import os
def work(x): env = os.environ.copy(); env["A"] = str(x); return env
""",
    "one and the same setting": """
import os
def work(x):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return x
""",
    "one and the same limit": """
import sys
def work(x):
    sys.setrecursionlimit(10_000)
    return x
""",
    "warnings that are ignored for good": """
import warnings
def work(x):
    warnings.filterwarnings("ignore")
    return x
""",
    "one timeout for all": """
import socket
TIMEOUT = 10
def work(x):
    socket.setdefaulttimeout(TIMEOUT)
    return x
""",
    "the level of a logger, for good": """
import logging
LOG = logging.getLogger("quiet")
def work(x):
    LOG.setLevel(logging.ERROR)
    return x
""",
    "a handler, once": """
import logging
LOG = logging.getLogger("handled")
def work(x):
    if not LOG.handlers: LOG.addHandler(logging.NullHandler())
    return x
""",
    "a limit that is asked for": """
import csv
def work(x): return csv.field_size_limit() + x
""",
    "warn": """
import warnings
def work(x): warnings.warn("slow", stacklevel=2); return x
""",
    "a signal's number": """
import signal
def work(x): return x + signal.SIGTERM
""",
    "a signal of the user's": """
class Button:
    def signal(self): return 1
BUTTON = Button()
def work(x): return BUTTON.signal()
""",
    "asyncio.run": """
import asyncio
async def fetch(x): return asyncio.get_event_loop().time()
def work(x): return asyncio.run(fetch(x))
""",
    "a loop of its own": """
import asyncio
def work(x):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try: return asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, x))
    finally: loop.close()
""",
    "the name of the thread": """
import threading
def work(x): return threading.current_thread().name
""",
    "a decimal context": """
import decimal
def work(x):
    with decimal.localcontext() as context:
        context.prec = 50
        return decimal.Decimal(x)
""",
    "numpy's errors": """
import numpy as np
def work(x):
    with np.errstate(all="ignore"): return np.float64(x) / 3
""",
    "an iterator of its own": """
def work(x): return next(iter([x]))
""",
    "a generator of numbers of its own": """
def work(x):
    numbers = (n for n in range(10))
    return next(numbers)
""",
    "a csv reader of its own": """
import csv, io
def work(x): return next(csv.reader(io.StringIO("a,b")))
""",
    "a file of its own": """
def work(x):
    with open("/dev/null") as file: return next(file, x)
""",
    "a queue of its own": """
import queue
def work(x): jobs = queue.Queue(); jobs.put(x); return jobs.get()
""",
    "a pool of clients": """
import queue
POOL = queue.Queue()
POOL.put(object())
def work(x):
    client = POOL.get()
    try: return x
    finally: POOL.put(client)
""",
    "a session for each thread": """
import threading
LOCAL = threading.local()
LOCAL.session = object()
def session():
    if not hasattr(LOCAL, "session"): LOCAL.session = object()
    return LOCAL.session
def work(x): return session() is not None
""",
    "a session for each thread, by a class": """
import threading
class Local(threading.local):
    def __init__(self): self.session, self.depth = object(), 0
LOCAL = Local()
def work(x): return LOCAL.session is not None and LOCAL.depth == 0
""",
    "a thread-local that it sets first": """
import threading
LOCAL = threading.local()
LOCAL.item = None
def work(x): LOCAL.item = x; return LOCAL.item
""",
    "a thread-local with what nobody reads": """
import threading
LOCAL = threading.local()
LOCAL.other = 1
def work(x): return getattr(LOCAL, "item", x)
""",
    "a patch in code that is not reached": """
from unittest import mock
def test(): mock.patch("os.getcwd")
def work(x): return x
""",
    "a temporary folder": """
import tempfile
def work(x):
    with tempfile.TemporaryDirectory() as folder: return len(folder)
""",
    "contextlib for something else": """
import contextlib
def work(x):
    with contextlib.suppress(KeyError): return x
""",
    "locale is read": """
import locale
def work(x): return locale.getlocale(), x
""",
    "gc.collect": """
import gc
def work(x): gc.collect(); return x
""",
    "arguments of its own": """
import argparse
def work(x): return argparse.ArgumentParser().parse_args([])
""",
    "a stat that is named alarm": """
class Clock:
    alarm = 7
CLOCK = Clock()
def work(x): return CLOCK.alarm + x
""",
}
