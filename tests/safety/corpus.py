"""Small programs of everyday kinds: some change what outlives their call, some only seem to.

Each defines `work(x)`; what is in `EFFECTS` must run where the caller's state is, what is in `HARMLESS` may
run in another process, as every process then has the same of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

EVERYDAY = Path(__file__).parent / "everyday"


def everyday(kind: str) -> dict[str, str]:
    """The larger set of "effects" or "harmless" programs, by their names."""
    text = (EVERYDAY / f"{kind}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^### (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


EFFECTS: dict[str, str] = {
    "append through a helper": """
ROWS = []
def keep(row): ROWS.append(row)
def work(x): keep(x * x); return x
""",
    "a counter in a class attribute": """
class Job:
    made = 0
    def __init__(self, x): Job.made += 1; self.x = x
def work(x): return Job(x).x
""",
    "a registry filled by a metaclass": """
ALL = {}
class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args); ALL[len(ALL)] = made; return made
class Part(metaclass=Meta):
    def __init__(self, x): self.x = x
def work(x): return Part(x).x
""",
    "a property that counts": """
class Sensor:
    reads = 0
    @property
    def value(self): type(self).reads += 1; return 3
S = Sensor()
def work(x): return S.value + x
""",
    "setattr by a name made up": """
class Box: pass
BOX = Box()
def work(x): setattr(BOX, f"item_{x}", x); return x
""",
    "a dict through operator": """
import operator
TABLE = {}
def work(x): operator.setitem(TABLE, x, x); return x
""",
    "in place by operator.iadd": """
import operator
OUT = []
def work(x): operator.iadd(OUT, [x]); return x
""",
    "heappush": """
import heapq
HEAP = []
def work(x): heapq.heappush(HEAP, -x); return x
""",
    "insort": """
from bisect import insort
SORTED = []
def work(x): insort(SORTED, x); return x
""",
    "an element gets children": """
import xml.etree.ElementTree as ET
ROOT = ET.Element("root")
def work(x): ET.SubElement(ROOT, "item").set("n", str(x)); return x
""",
    "a nested dict": """
STATS = {"by": {"kind": {}}}
def work(x): STATS["by"]["kind"].setdefault(x % 3, []).append(x); return x
""",
    "a list in a tuple": """
PAIR = ([], [])
def work(x): PAIR[x % 2].append(x); return x
""",
    "a closure's list": """
def make():
    seen = []
    def work(x): seen.append(x); return x
    return work
work = make()
""",
    "a closure's number": """
def make():
    count = 0
    def work(x):
        nonlocal count
        count += 1
        return x
    return work
work = make()
""",
    "a default that grows": """
def work(x, seen=[]): seen.append(x); return x
""",
    "an attribute of the function": """
def work(x): work.calls = getattr(work, "calls", 0) + 1; return x
""",
    "a bound method": """
class Model:
    def __init__(self): self.steps = 0
    def fit(self, x): self.steps = self.steps + 1; return x
work = Model().fit
""",
    "a callable object": """
class Collect:
    def __init__(self): self.rows = {}
    def __call__(self, x): self.rows[x] = x; return x
work = Collect()
""",
    "through a partial": """
from functools import partial
def put(store, x): store.add(x); return x
work = partial(put, set())
""",
    "a decorator that counts": """
import functools
CALLS = {}
def counted(func):
    @functools.wraps(func)
    def inner(x):
        CALLS[func.__name__] = CALLS.get(func.__name__, 0) + 1
        return func(x)
    return inner
@counted
def work(x): return x
""",
    "the best so far": """
BEST = None
def work(x):
    global BEST
    if BEST is None or x > BEST: BEST = x
    return x
""",
    "the last one": """
LAST = None
def work(x):
    global LAST
    LAST = x
    return x
""",
    "a running sum": """
TOTAL = 0.0
def work(x):
    global TOTAL
    TOTAL = TOTAL + x * 0.5
    return x
""",
    "a context manager that notes": """
LOG = []
class Span:
    def __enter__(self): LOG.append("in")
    def __exit__(self, *error): LOG.append("out")
def work(x):
    with Span(): return x
""",
    "an array in place": """
import numpy as np
GRID = np.zeros(16)
def work(x): np.add.at(GRID, [x % 16], 1.0); return x
""",
    "an array of a dict": """
import numpy as np
STATE = {"w": np.zeros(4)}
def work(x): STATE["w"] += x; return x
""",
    "a bytearray": """
BUF = bytearray(64)
def work(x): BUF[x % 64] = 1; return x
""",
    "an ordered dict's order": """
from collections import OrderedDict
LRU = OrderedDict((n, n) for n in range(8))
def work(x): LRU.move_to_end(x % 8); return x
""",
    "a deque that turns": """
from collections import deque
RING = deque(range(5))
def work(x): RING.rotate(1); return RING[0]
""",
    "a defaultdict that is asked": """
from collections import defaultdict
GROUPS = defaultdict(list)
def work(x): return len(GROUPS[x])
""",
    "a Counter": """
from collections import Counter
SEEN = Counter()
def work(x): SEEN.update([x % 3]); return x
""",
    "two names for one list": """
A = []
B = {"rows": A}
def work(x): B["rows"].append(x); return x
""",
    "exec": """
TEXT = "OUT.append(x)"
OUT = []
def work(x): exec(TEXT, globals(), {"x": x}); return x
""",
    "globals()": """
def work(x): globals()[f"made_{x}"] = x; return x
""",
    "an environment variable": """
import os
def work(x): os.environ["CORPUS_LAST"] = str(x); return x
""",
    "the import path": """
import sys
def work(x): sys.path.append(f"/nowhere/{x}"); return x
""",
    "a handler that collects": """
import logging
class Keep(logging.Handler):
    def __init__(self): super().__init__(); self.lines = []
    def emit(self, record): self.lines.append(record.getMessage())
LOG = logging.getLogger("corpus.keep"); LOG.addHandler(Keep()); LOG.setLevel(10); LOG.propagate = False
def work(x): LOG.info("%d", x); return x
""",
    "seeded draws": """
import random
random.seed(7)
def work(x): return random.random()
""",
    "seeded numpy draws": """
import numpy as np
np.random.seed(7)
def work(x): return np.random.rand()
""",
    "a generator of one's own": """
def numbers():
    n = 0
    while True:
        n += 1
        yield n
NUMBERS = numbers()
def work(x): return next(NUMBERS)
""",
    "a counter of itertools": """
import itertools
IDS = itertools.count()
def work(x): return next(IDS)
""",
    "ids from a factory": """
import dataclasses, itertools
@dataclasses.dataclass
class Row:
    x: int
    key: int = dataclasses.field(default_factory=itertools.count(5).__next__)
def work(x): return Row(x).key
""",
    "a buffer of text": """
import io
OUT = io.StringIO()
def work(x): OUT.write(str(x)); return x
""",
    "an observer": """
HEARD = []
class Bus:
    def __init__(self): self.listeners = []
    def send(self, event):
        for listener in self.listeners: listener(event)
BUS = Bus(); BUS.listeners.append(HEARD.append)
def work(x): BUS.send(x); return x
""",
    "a slot": """
class Point:
    __slots__ = ("x", "moves")
    def __init__(self): self.x, self.moves = 0, 0
    def move(self, x): self.x = x; self.moves += 1
P = Point()
def work(x): P.move(x + 1); return x
""",
    "a descriptor that stores": """
class Field:
    def __init__(self): self.values = {}
    def __get__(self, obj, kind): return self if obj is None else self.values.get(id(obj))
    def __set__(self, obj, value): self.values[id(obj), value] = value
class Thing:
    size = Field()
T = Thing()
def work(x): T.size = x; return x
""",
    "single dispatch": """
import functools
SEEN = []
@functools.singledispatch
def note(x): pass
@note.register
def _(x: int): SEEN.append(x)
def work(x): note(x); return x
""",
    "removing what is done": """
TODO = set(range(1000))
def work(x): TODO.discard(x); return x
""",
    "a job that is marked": """
class Job:
    def __init__(self, n): self.n, self.done = n, False
JOBS = [Job(n) for n in range(100)]
def work(x): JOBS[x].done = True; return x
""",
    "an item that is changed": """
ITEMS = [{"n": n} for n in range(20)]
def work(row): row["square"] = row["n"] ** 2
""",
    "sorting in place": """
ROWS = [3, 1, 2]
def work(x): ROWS.sort(key=lambda n: (n + x) % 3); return ROWS[0]
""",
    "a memo that is read as output": """
DONE = {}
def work(x): DONE[x] = x * 2; return None
""",
    "a seen-set": """
SEEN = set()
def work(x):
    if x % 5 in SEEN: return None
    SEEN.add(x % 5); return x
""",
    "the working directory": """
import os, tempfile
PLACES = [tempfile.gettempdir(), os.path.expanduser("~"), "/"]
def work(x): os.chdir(PLACES[x % 3]); return os.getcwd()
""",
}

EFFECTS.update(
    {
        "a level of a logger": """
import logging
LOG = logging.getLogger("corpus.level")
def work(x): LOG.setLevel(10 + x); return x
""",
        "a filter that counts": """
import logging
class Count(logging.Filter):
    seen = 0
    def filter(self, record): Count.seen += 1; return False
LOG = logging.getLogger("corpus.filter"); LOG.addFilter(Count()); LOG.setLevel(10)
def work(x): LOG.info("x"); return x
""",
        "records in a handler's memory": """
import logging, logging.handlers
LOG = logging.getLogger("corpus.memory"); LOG.setLevel(10); LOG.propagate = False
LOG.addHandler(logging.handlers.MemoryHandler(1000))
def work(x): LOG.info("x"); return x
""",
        "a module's own getattr": """
import types, sys
m = types.ModuleType("corpus_lazy"); m.__file__ = __file__; sys.modules["corpus_lazy"] = m
exec('ASKED = []; __getattr__ = lambda name: ASKED.append(name) or 1', vars(m))
import corpus_lazy
def work(x): return corpus_lazy.something + x
""",
        "warnings that are collected": """
import warnings
SHOWN = []
def show(message, *rest): SHOWN.append(str(message))
warnings.showwarning = show
warnings.simplefilter("always")
def work(x): warnings.warn(f"w {x}", stacklevel=1); return x
""",
        "a logger that is asked for by name": """
import logging
class Count(logging.Filter):
    def __init__(self): super().__init__(); self.seen = 0
    def filter(self, record): self.seen += 1; return True
logging.getLogger("corpus.named").addFilter(Count())
def work(x): logging.getLogger("corpus.named").warning("%d", x); return x
""",
        "a compressor": """
import zlib
Z = zlib.compressobj()
def work(x): return len(Z.compress(b"x" * x))
""",
    }
)

HARMLESS: dict[str, str] = {
    "arithmetic": "def work(x): return x * x\n",
    "a table that is read": "TABLE = {n: n * n for n in range(100)}\ndef work(x): return TABLE[x]\n",
    "a model loaded when needed": """
MODEL = None
def load(): return {"weights": [1, 2, 3]}
def work(x):
    global MODEL
    if MODEL is None: MODEL = load()
    return MODEL["weights"][0] * x
""",
    "the same by a function": """
_model = None
def model():
    global _model
    if not _model: _model = [1.0, 2.0]
    return _model
def work(x): return model()[0] * x
""",
    "an object's part made when needed": """
class Reader:
    def __init__(self): self._index = None
    @property
    def index(self):
        if self._index is None: self._index = {"a": 1}
        return self._index
    def read(self, x): return self.index["a"] + x
work = Reader().read
""",
    "hasattr": """
class Tool:
    def use(self, x):
        if not hasattr(self, "blade"): self.blade = (1, 2, 3)
        return self.blade[0] + x
work = Tool().use
""",
    "a cached property": """
import functools
class Page:
    @functools.cached_property
    def words(self): return ["a", "b"]
PAGE = Page()
def work(x): return len(PAGE.words) + x
""",
    "lru_cache": """
import functools
@functools.lru_cache(maxsize=None)
def slow(n): return n * n
def work(x): return slow(x % 7)
""",
    "functools.cache on a method": """
import functools
class Maths:
    @functools.cache
    def power(self, n): return 2 ** n
M = Maths()
def work(x): return M.power(x % 5)
""",
    "a logger": """
import logging
LOG = logging.getLogger(__name__)
def work(x): LOG.debug("at %d", x); return x
""",
    "a compiled pattern": """
import re
WORD = re.compile(r"[a-z]+")
def work(x): return len(WORD.findall("one two " * (x + 1)))
""",
    "a pattern that re caches": """
import re
def work(x): return bool(re.match(r"a{%d}" % (x + 1), "aaa"))
""",
    "a module imported when needed": """
def work(x):
    import colorsys
    return colorsys.rgb_to_hsv(0.1, 0.2, x)
""",
    "a global module imported when needed": """
json = None
def work(x):
    global json
    if json is None:
        import json
    return json.dumps([x])
""",
    "unseeded draws": """
from random import random as draw
def work(x): return "unseeded", sum(draw() for _ in range(5)) / 5
""",
    "a configuration object": """
from types import SimpleNamespace
CONFIG = SimpleNamespace(scale=3, names=["a", "b"], nested={"deep": [1]})
def work(x): return CONFIG.scale * x + CONFIG.nested["deep"][0]
""",
    "an enum": """
import enum
class Colour(enum.Enum):
    RED = 1
    BLUE = 2
def work(x): return Colour(x % 2 + 1).name
""",
    "a dataclass that is made and dropped": """
import dataclasses
@dataclasses.dataclass
class Row:
    x: int
    tags: list = dataclasses.field(default_factory=list)
def work(x):
    row = Row(x); row.tags.append("new"); return len(row.tags)
""",
    "an array that is read": """
import numpy as np
W = np.arange(1000.0)
def work(x): return float(W @ W) + x
""",
    "a local buffer": """
import numpy as np
def work(x):
    out = np.zeros(8); out[x % 8] = 1; out.sort(); return float(out[-1])
""",
    "json and datetime": """
import json, datetime
def work(x): return json.loads(json.dumps({"t": str(datetime.timedelta(days=x))}))["t"]
""",
    "a class with a registry of old": """
class Base:
    known = {}
    def __init_subclass__(cls): Base.known[cls.__name__] = cls
class One(Base):
    def run(self, x): return x + 1
def work(x): return Base.known["One"]().run(x)
""",
    "a warning": """
import warnings
def work(x):
    warnings.warn("old", PendingDeprecationWarning, stacklevel=2)
    return x
""",
    "named tuples": """
from collections import namedtuple
P = namedtuple("P", "x y")
ORIGIN = P(0, 0)
def work(x): return ORIGIN._replace(x=x).x
""",
    "a path": """
from pathlib import PurePosixPath
ROOT = PurePosixPath("/data")
def work(x): return str(ROOT / f"{x}.csv")
""",
    "decimal numbers": """
from decimal import Decimal
RATE = Decimal("0.19")
def work(x): return str(Decimal(x) * RATE)
""",
    "a template": """
from string import Template
T = Template("hello $name")
def work(x): return T.substitute(name=x)
""",
    "a tree of nodes that is walked": """
class Node:
    def __init__(self, value, left=None, right=None): self.value, self.left, self.right = value, left, right
    def total(self): return self.value + sum(n.total() for n in (self.left, self.right) if n)
TREE = Node(1, Node(2), Node(3, Node(4)))
def work(x): return TREE.total() * x
""",
    "a retry wrapper": """
import functools
def retry(times):
    def wrap(func):
        @functools.wraps(func)
        def inner(*args):
            for _ in range(times):
                try: return func(*args)
                except ValueError: continue
        return inner
    return wrap
@retry(3)
def work(x): return x + 1
""",
    "a mapping proxy": """
from types import MappingProxyType
VIEW = MappingProxyType({"a": 1})
def work(x): return VIEW["a"] + x
""",
    "a chain of maps": """
from collections import ChainMap
C = ChainMap({"a": 1}, {"b": 2})
def work(x): return C["b"] + x
""",
    "hashing": """
import hashlib
def work(x): return hashlib.sha256(str(x).encode()).hexdigest()
""",
    "a struct": """
import struct
FORMAT = struct.Struct("<if")
def work(x): return FORMAT.pack(x, 0.5)
""",
    "a strategy from a dict": """
def plus(x): return x + 1
def minus(x): return x - 1
WAYS = {"plus": plus, "minus": minus}
def work(x): return WAYS["plus" if x % 2 else "minus"](x)
""",
    "singleton by __new__": """
class Settings:
    _one = None
    def __new__(cls):
        if cls._one is None: cls._one = super().__new__(cls)
        return cls._one
def work(x): return Settings() is Settings()
""",
    "flags that are combined": """
import enum
class Perm(enum.Flag):
    R = 1
    W = 2
    X = 4
def work(x): return (Perm.R | Perm(x % 8)).value
""",
    "a path that keeps its parts": """
from pathlib import Path
HERE = Path("/some/where/deep")
def work(x): return hash(HERE) + len(HERE.parts) + len(str(HERE.parent)) - hash(HERE)
""",
}
