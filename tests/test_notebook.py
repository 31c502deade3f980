"""Functions typed in by hand: they live in `__main__`, have no file, and no guard."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATIENCE_S = 50.0

CELLS = (
    "import os, time, autoexec",
    """
    def burn(x):
        until = time.thread_time() + 0.003
        while time.thread_time() < until:
            sum(range(100))
        return helper(x), os.getpid()
    """,
    "def helper(x): return x + offset",
    "offset = 10",
    """
    for way in ("auto", "processes", "threads", "serial"):
        values = [value for value, pid in autoexec.map(burn, range(12), max_workers=2, backend=way)]
        print(way, values == list(range(10, 22)))
    """,
    "print('away', os.getpid() not in {p for _, p in autoexec.map(burn, range(4), backend='processes')})",
    "offset = 20",
    "print('again', [v for v, _ in autoexec.map(burn, range(3), backend='processes')])",
    """
    @autoexec.parallel(max_workers=2)
    def double(x):
        return 2 * x
    """,
    "print('decorated', list(double.map(range(4), backend='processes')), double.submit(4).result())",
    """
    with autoexec.Executor(max_workers=2, backend="processes") as executor:
        print('executor', [v for v, _ in executor.map(burn, range(3))])
    """,
    "total = []",
    "print('kept', len(list(autoexec.map(lambda x: total.append(burn(x)), range(40)))), len(total))",
)
EXPECTED = [
    "auto True",
    "processes True",
    "threads True",
    "serial True",
    "away True",
    "again [20, 21, 22]",
    "decorated [0, 2, 4, 6] 8",
    "executor [20, 21, 22]",
    "kept 40 40",
]


def environment() -> dict[str, str]:
    """What the programs here are started with."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON_BASIC_REPL": "1", "PYTHONSTARTUP": ""}


def cells() -> list[str]:
    """The cells, as typed."""
    return [textwrap.dedent(cell).strip() for cell in CELLS]


def run(arguments: list[str], text: str, patience_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a program that reads `text`."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=text,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )


def test_cells_executed_in_main() -> None:
    """Cells compiled under made-up file names and executed in `__main__`, as IPython does it."""
    shell = (
        "import linecache, sys\n"
        f"for number, cell in enumerate({cells()!r}):\n"
        "    name = f'<ipython-input-{number}-0123456789ab>'\n"
        "    linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)\n"
        "    exec(compile(cell, name, 'exec'), sys.modules['__main__'].__dict__)\n"
    )
    done = run(["-c", shell], "")
    assert done.stderr == ""
    assert done.stdout.splitlines() == EXPECTED


def test_the_interactive_interpreter() -> None:
    """Typed at the prompt: functions without a file and without source."""
    typed = "\n\n".join(cells()) + "\n\n"
    done = run(["-i", "-q"], typed)
    assert "Error" not in done.stderr, done.stderr
    assert done.stdout.splitlines() == EXPECTED


def test_a_program_from_standard_input() -> None:
    """`python -` reads the program from a pipe."""
    done = run(["-"], "\n".join(cells()))
    assert done.stderr == ""
    assert done.stdout.splitlines() == EXPECTED


CLIENT = """
import sys, nbclient, nbformat
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
nbclient.NotebookClient(notebook, timeout=100, kernel_name="here").execute()
for cell in notebook.cells:
    for output in cell.outputs:
        sys.stdout.write(output.get("text", str(output)))
"""


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_real_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a Jupyter kernel, where an event loop and other threads run already."""
    for package in ("ipykernel", "nbclient", "nbformat"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    # A kernel for this very interpreter, whatever kernels the user has installed.
    folder = tmp_path / "JUPYTER_DATA_DIR" / "kernels" / "here"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "here", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(kernel))
    done = run(["-c", f"CELLS = {cells()!r}\n{CLIENT}"], "", patience_s=120)
    assert done.stdout.splitlines() == EXPECTED, done.stderr
