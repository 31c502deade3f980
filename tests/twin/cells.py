"""Running the programs of the matrix, and what their cells say.

What may live here: child processes, and the judgment of what they print. Kinds that do not disturb each other
share a program; where one of them is not right, each is run again alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .kinds import Kind
from .program import MOMENTS, SHOP, answer, text

__all__ = ["Cell", "run"]

LIMIT_S = 240.0
MOST = 12  # kinds in one program
ROOT = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Cell:
    """One cell: a word, and why."""

    word: str
    why: str = ""


Cells = dict[tuple[str, str, str], Cell]


def run(
    kinds: Sequence[Kind], ways: Sequence[str], folder: str, *, python: str, jobs: int, alone: bool = False
) -> Cells:
    """All cells of these kinds and ways, by kind, way and moment."""
    found: Cells = {}
    there = []
    for kind in kinds:
        missing = [name for name in kind.imports.split(",") if name and not _there(name)]
        if missing:
            words = Cell("skipped", f"there is no {missing[0]} here")
            found.update({(kind.name, way, moment): words for way in ways for moment in MOMENTS})
        else:
            there.append(kind)
    programs = [(group, way) for way in ways for group in _groups(there, alone=alone)]
    with ThreadPoolExecutor(jobs) as pool:
        for cells in pool.map(lambda program: _cells(*program, folder, python), programs):
            found.update(cells)
    return found


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def _groups(kinds: Sequence[Kind], *, alone: bool) -> list[list[Kind]]:
    own = [kind for kind in kinds if alone or kind.alone or kind.flags or kind.variables]
    groups = [[kind] for kind in own]
    # What reads a module or the script of the user's is told from what does not: workers are kept for those.
    for define in dict.fromkeys(kind.define for kind in kinds):
        shared = [kind for kind in kinds if kind not in own and kind.define == define]
        groups += [shared[at : at + MOST] for at in range(0, len(shared), MOST)]
    return groups


def _cells(kinds: list[Kind], way: str, folder: str, python: str) -> Cells:
    """The cells of one program."""
    told, problem = _told(kinds, way, folder, python)
    found: Cells = {}
    for number, kind in enumerate(kinds):
        kept = set(told.get("kept", ()))
        for moment in MOMENTS:
            rows = [row for row in told.get("told", ()) if row["moment"] == moment]
            cell = _judged(kind, rows, number, way, kept) if rows else Cell("WRONG", problem)
            kept.update(pid for row in rows for pid in row["pids"] or ())
            found[kind.name, way, moment] = cell
    if len(kinds) > 1:
        for kind in kinds:
            if any(found[kind.name, way, moment].word not in ("=", "=new") for moment in MOMENTS):
                found.update(_cells([kind], way, folder, python))
    return found


def _told(kinds: list[Kind], way: str, folder: str, python: str) -> tuple[dict[str, Any], str]:
    own = Path(folder, f"{kinds[0].name}-{len(kinds)}-{way}".replace("/", "-").replace(" ", "-"))
    own.mkdir(exist_ok=True)
    (own / "shop.py").write_text(SHOP, encoding="utf-8")
    script = own / "program.py"
    script.write_text(text(kinds, way), encoding="utf-8")
    flags = [flag for kind in kinds for flag in kind.flags]
    variables = {name: value for kind in kinds for name, value in kind.variables.items()}
    env = {**os.environ, "PYTHONPATH": ROOT, **variables}
    if "-E" in flags:  # then the path is given otherwise
        script.write_text(f"import sys; sys.path.append({ROOT!r})\n" + script.read_text(encoding="utf-8"))
    process = subprocess.Popen(
        [python, *flags, str(script)],
        env=env,
        cwd=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return {}, "it did not end"
    try:
        return answer(out.decode("utf-8", "replace")), ""
    except (ValueError, IndexError):
        last = err.decode("utf-8", "replace").strip().splitlines()[-1:]
        return {}, f"exit status {process.returncode}: {''.join(last)}"


def _judged(kind: Kind, rows: list[dict[str, Any]], number: int, way: str, kept: set[int]) -> Cell:
    """What a cell says: the maps in the way that was asked for, and one that was left to choose."""
    asked = [row for row in rows if not row["way"].startswith("auto")]
    wrong = [row for row in asked if not _same(kind, row, number, way)]
    if not wrong:
        new = way.startswith("kept") and not set(asked[0]["pids"]) <= kept
        return Cell("=new" if new else "=")
    row, free = wrong[0], [row for row in rows if row["way"].startswith("auto")]
    came = row["error"] or f"{_of(row['got'], number)}, not {_of(row['want'], number)}"
    right = bool(free) and _same(kind, free[-1], number, way)
    if kind.by_design and (right or not kind.again):
        return Cell("stays", kind.by_design)
    if not right:
        auto = (free and (free[-1]["error"] or f"{free[-1]['way']}: {_of(free[-1]['got'], number)}")) or "-"
        return Cell("WRONG", f"{came}; {row['words']} [{auto}]")
    if row["error"] or _named(row["words"]):
        return Cell("stays", row["error"] or row["words"])
    return Cell("WRONG", f"{came} (auto: right; {free[-1]['way']}, {free[-1]['words']}); {row['words']}")


def _named(words: str) -> bool:
    """Whether a plan names something that workers have not got."""
    return "Hazard(" in words or ";" in words


def _of(rows: list[list[str]] | None, number: int) -> str:
    return "nothing" if rows is None else ", ".join(dict.fromkeys(row[number] for row in rows))


def _same(kind: Kind, row: dict[str, Any], number: int, way: str) -> bool:
    if row["got"] is None:
        return False
    got, want = [one[number] for one in row["got"]], [one[number] for one in row["want"]]
    if kind.unordered and way == "threads" and not row["way"].startswith("auto"):
        return sorted(got) == sorted(want)
    return got == want
