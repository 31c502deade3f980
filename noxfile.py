"""The test suite on every CPython that is found here: `nox`, or `make nox`."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False  # an absent version is skipped, and nox says so
nox.options.reuse_existing_virtualenvs = True

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


@nox.session(python=VERSIONS)
def tests(session: nox.Session) -> None:
    """Run all tests with everything optional installed."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=["3.13t"])
def free_threaded(session: nox.Session) -> None:
    """Run the tests without the GIL, with as little from outside as possible (few wheels exist for it)."""
    session.install("-e", ".", "pytest", "pytest-timeout", "hypothesis")
    session.run("pytest", *session.posargs, env={"PYTHON_GIL": "0"})


@nox.session(python=["3.11"])
def minimal(session: nox.Session) -> None:
    """Run the tests with no optional package at all."""
    session.install("-e", ".", "pytest", "pytest-timeout", "hypothesis")
    session.run("pytest", *session.posargs)
