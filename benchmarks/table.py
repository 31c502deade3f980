"""From runs to medians, regret and geometric means; as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import exp, log
from pathlib import Path
from statistics import median

from .workloads import FIFTEEN, WORKLOADS

__all__ = ["markdown", "ratios", "text", "write_into"]

OURS = "autoexec"


def ratios(runs: dict) -> dict[str, dict[str, float]]:
    """For each workload and strategy: its median over the smallest median of all but autoexec.

    A hang counts with the timeout, which flatters it; a failure or a wrong answer does not count.
    """
    found = {}
    for name, ways in runs["runs"].items():
        medians = {way: _median(run) for way, run in ways.items() if _counts(run)}
        others = [seconds for way, seconds in medians.items() if way != OURS]
        if others:
            found[name] = {way: seconds / min(others) for way, seconds in medians.items()}
    return found


def _median(run: dict) -> float:
    return median(run["seconds"])


def _counts(run: dict) -> bool:
    return bool(run["seconds"]) and run["problem"] in ("", "hang")


def _geometric(values: Iterable[float]) -> float:
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else float("nan")


def _ways(runs: dict) -> list[str]:
    return list(dict.fromkeys(way for ways in runs["runs"].values() for way in ways))


def _cell(run: dict | None) -> str:
    if not run or not run["seconds"]:
        return "-"
    if run["problem"]:
        return f">{_median(run):.0f}" if run["problem"] == "hang" else run["problem"].split()[0]
    return f"{_median(run):.3f}"


def _best(ways: dict) -> str:
    """The name of the fastest strategy other than autoexec."""
    others = {way: _median(run) for way, run in ways.items() if way != OURS and _counts(run)}
    return min(others, key=lambda way: others[way]) if others else "-"


def _rows(runs: dict) -> Iterator[list[str]]:
    """The table in cells, its head first."""
    ways, relative = _ways(runs), ratios(runs)
    yield ["", "workload", *ways, "best of the others", "regret"]
    for name, found in runs["runs"].items():
        regret = relative.get(name, {}).get(OURS)
        ends = [_best(found), f"{regret:.2f}" if regret else "-"]
        yield [name, WORKLOADS[name].title, *(_cell(found.get(way)) for way in ways), *ends]
    yield from _summary(ways, relative)


def _summary(ways: list[str], relative: dict[str, dict[str, float]]) -> Iterator[list[str]]:
    full = [name for name in relative if name in FIFTEEN]
    small = ["W14s" if name == "W14" else name for name in full]
    lines = [("geometric mean of time / best", full, _geometric), ("the worst of them", full, max)]
    if "W14s" in relative and "W14" in relative:
        lines.insert(1, ("geometric mean with W14s for W14", small, _geometric))
    for title, names, function in lines:
        columns = {way: [relative[name][way] for name in names if way in relative[name]] for way in ways}
        cells = [
            f"{function(values):.2f}{'' if len(values) == len(names) else '*'}" if values else "-"
            for values in columns.values()
        ]
        yield ["", title, *cells, "", cells[ways.index(OURS)] if OURS in ways else "-"]


def _remarks(runs: dict) -> list[str]:
    machine, lines = runs["machine"], []
    lines.append(
        "{processor}, {cores} cores, {system}, CPython {python}, {date}; medians of {rounds} rounds in "
        "seconds, each run a fresh process, cold start included (load {load_before:.1f} "
        "before, {load_after:.1f} after).".format(**machine, rounds=runs["rounds"])
    )
    lines.append(
        "Regret is the time of autoexec over that of the best of all the others, the serial loop included. "
        f"`>{runs['timeout']:.0f}` did not finish and counts with that; * means that some did not run or "
        "gave a wrong answer, which does not count."
    )
    for name, ways in runs["runs"].items():
        threads, children = ways.get(OURS, {}).get("left", (0, 0))
        if threads or children:
            lines.append(f"{name}: autoexec left {threads} threads and {children} processes.")
    return lines


def text(runs: dict) -> str:
    """The table for a terminal."""
    rows = list(_rows(runs))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", *_remarks(runs)])


def markdown(runs: dict) -> str:
    """The table for a page; the best of each row in bold."""
    head, *rows = _rows(runs)
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    for row in rows:
        best = row[-2]
        cells = [
            f"**{cell}**" if best and title == best else cell for title, cell in zip(head, row, strict=True)
        ]
        lines.append(_line(cells))
    return "\n".join([*lines, "", *_remarks(runs)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_into(page: Path, part: str, content: str) -> None:
    """Replace what stands between the page's two markers for `part`, or append both."""
    begin, end = f"<!-- {part}: generated -->", f"<!-- {part}: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    head = before if found else before.rstrip("\n") + "\n\n"
    page.write_text(f"{head}{begin}\n{content}\n{end}{after}", encoding="utf-8")
