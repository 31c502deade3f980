"""The pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from autoexec import registry
from autoexec.decide import classify
from autoexec.engine import monitor, pool, run
from autoexec.records import Calibration
from autoexec.report.options_table import options_table

DOCS = Path(__file__).parents[1] / "docs"


def test_every_rule_is_on_the_page_in_its_order() -> None:
    """The table of classes lists the rules of `classify.RULES`, one line each."""
    page = (DOCS / "how-it-decides.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert [line.split("|")[1].strip() for line in lines] == [rule.kind.value for rule in classify.RULES]
    for line, rule in zip(lines, classify.RULES, strict=True):
        said = line.split("|")[3].strip()
        for part in said.split("…"):
            assert part.strip() in rule.words, (said, rule.words)


def test_the_figures_on_the_page_are_the_codes() -> None:
    """Budgets and thresholds that the page names."""
    page = (DOCS / "how-it-decides.md").read_text()
    assert f"**used no CPU for {monitor.WAITING_S * 1e3:g} ms**" in page
    assert f"**has computed for {monitor.LONG_S * 1e3:g} ms**" in page
    assert f"about {run.BUDGET_S * 1e3:g} ms of work" in page
    assert f"for {monitor.PRESS_ROUNDS} × {monitor.PRESS_S * 1e3:g} ms" in page
    assert f"used < {classify.PRESSED} cores" in page
    assert f"{pool.RAMP} calls first" in page


def test_the_states_of_a_run_are_on_the_page() -> None:
    """The page on the architecture prints the table of states that the code obeys."""
    page = (DOCS / "architecture.md").read_text()
    drawn = page.partition("<!-- states:")[2].partition("<!-- end of states -->")[0].splitlines()[3:]
    rows = [
        f"| {state.value} | {following.value} | {when} |"
        for state, follow in run.TRANSITIONS.items()
        for following, when in follow.items()
    ]
    assert [line for line in drawn if line] == rows


def test_the_options_are_in_the_readme() -> None:
    """The table is the one that the rows of the options make."""
    page = (
        (DOCS.parent / "README.md")
        .read_text()
        .replace("[one of your own](docs/backends.md)", "one of your own")
    )
    drawn = page.partition("<!-- options: drawn from autoexec.options.ROWS -->\n")[2]
    assert drawn.partition("\n<!-- end of options -->")[0] == options_table()


def test_the_rows_of_backends_are_on_the_page() -> None:
    """The page on backends prints the registry."""
    page = (DOCS / "backends.md").read_text()
    drawn = page.partition("<!-- rows:")[2].partition("<!-- end of rows -->")[0].splitlines()[3:]
    weighed = {"serial", "threads", "processes", *dict(registry.weighed(Calibration()))}
    rows = []
    for name in registry.names():
        info = registry.row(name)
        if name == registry.AUTO or (not registry.ours(info) and info.open):
            continue  # the first is none, the others were registered by tests
        facts = (info.in_process, info.own_gil, info.gives_up, info.paces, name in weighed)
        needs = f"the extra `{info.extra}`" if info.extra else info.needs
        rows.append(" | ".join((f"| `{name}`", *("yes" if fact else "no" for fact in facts), f"{needs} |")))
    assert [line for line in drawn if line] == [row.replace("|  |", "| |") for row in rows]


def test_the_parts_of_the_scheduler_are_on_the_page_in_their_order() -> None:
    """Each part imports only parts that stand above it, and the scheduler imports no other parts."""
    page = (DOCS / "architecture.md").read_text()
    table = page.partition("<!-- parts:")[2].partition("<!-- end of parts -->")[0]
    parts = re.findall(r"^\| `(\w+)\.py`", table, re.MULTILINE)
    engine = Path(run.__file__).parent
    needs = {part: imported(engine / f"{part}.py") for part in parts}
    for at, part in enumerate(parts):
        assert needs[part].isdisjoint(parts[at:]), part
    assert parts[-1] == "scheduler"
    values = {"fork_generation", "queues", "tracks", "result_order", "limits", "source"}
    assert needs["scheduler"] - values <= set(parts)


def imported(path: Path) -> set[str]:
    """The modules beside it that a module imports, for types included."""
    return set(re.findall(r"^ *from \.(\w+) import", path.read_text(), re.MULTILINE))
