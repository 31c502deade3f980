"""The progress bar."""

from __future__ import annotations

import io
import sys

import pytest

import autoexec
from autoexec.errors import MissingExtra
from autoexec.report.progress import open_bar


class Terminal:
    """A standard error that says it is a terminal, and remembers."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_without_tqdm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, and keeps its cause."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(MissingExtra, match=r"autoexec-futures\[progress\]") as caught:
        open_bar(10)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize("total", [10, None])
def test_silent_where_nobody_looks(total: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A log file or a pipe gets no bar, with a known number of items or without."""
    pytest.importorskip("tqdm")
    bar = open_bar(total)
    bar.update()
    bar.update(9)
    bar.close()
    assert capsys.readouterr() == ("", "")


def test_counts_items_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it shows how many of how many, and nothing goes to standard output."""
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = open_bar(10)
    bar.update(10)
    bar.close()
    assert "10/10" in terminal.text
    assert "item" in terminal.text


@pytest.mark.parametrize("total", [10, None])
@pytest.mark.parametrize("kind", ["none", "closed"])
def test_without_a_standard_error(total: int | None, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a console has none; a daemon has closed it: there is nobody to look."""
    pytest.importorskip("tqdm")
    stream = None if kind == "none" else io.StringIO()
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = open_bar(total)
    bar.update(9)
    bar.set_postfix_str("1 error")
    bar.close()
    assert list(autoexec.map(abs, range(20), progress=True)) == list(range(20))


def test_closing_twice_is_harmless() -> None:
    """The run may end in more than one way."""
    pytest.importorskip("tqdm")
    bar = open_bar(3)
    bar.close()
    bar.close()
