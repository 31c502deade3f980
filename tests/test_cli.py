"""The command line: what each command calls, what it prints, and its exit codes."""

from __future__ import annotations

import pytest

from autoexec import cli
from autoexec.errors import MissingExtra


def raising(error):
    """Return a stand-in for a command, which ends in `error`."""

    def command(*_):
        raise error

    return command


def test_doctor_prints_the_machine(capsys):
    """`doctor` shows this machine's cores and what pools cost on it."""
    assert cli.main(["doctor"]) == 0
    assert "cores" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "quick"), [(["demo"], False), (["demo", "--quick"], True)])
def test_demo_hands_its_exit_code_on(arguments, quick, monkeypatch):
    """`demo` runs the demo, short if asked to, and exits with its code."""
    asked = []
    monkeypatch.setattr("autoexec.demo.run.main", lambda quick: asked.append(quick) or 1)
    assert cli.main(arguments) == 1
    assert asked == [quick]


def test_our_errors_are_one_line_not_a_traceback(monkeypatch, capsys):
    """An error of autoexec's own is shown as its message, with exit code 2."""
    monkeypatch.setattr(cli, "doctor", raising(MissingExtra("pip install it")))
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "autoexec: pip install it\n"


def test_other_errors_keep_their_traceback(monkeypatch):
    """A defect is not dressed up as a user's mistake."""
    monkeypatch.setattr(cli, "doctor", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_ctrl_c_ends_quietly(monkeypatch, capsys):
    """Ctrl-C gives one line and the shell's customary exit code."""
    monkeypatch.setattr(cli, "doctor", raising(KeyboardInterrupt()))
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "autoexec: interrupted\n"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["doctor", "--quick"]])
def test_what_cannot_be_meant_shows_the_usage(arguments, capsys):
    """A missing or unknown command exits with 2 and the usage."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m autoexec" in capsys.readouterr().err


def test_help_names_both_commands(capsys):
    """The help mentions every command."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = capsys.readouterr().out
    assert "doctor" in text
    assert "demo" in text
