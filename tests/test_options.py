"""One set of options: what can be meant, what cannot, and what wins."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import inspect
import math
from importlib import util
from typing import TYPE_CHECKING, Any

import pytest

from autoexec.errors import MissingExtra, OptionError
from autoexec.options import BACKENDS, Options, resolve

if TYPE_CHECKING:
    from autoexec.options import Wishes


class Four:
    """A number by its `__index__`, as numpy's are."""

    def __index__(self) -> int:
        return 4

    def __repr__(self) -> str:
        return "Four()"


def test_defaults_let_autoexec_decide() -> None:
    """No wishes, no limits."""
    assert resolve({}) == Options()
    assert Options().backend == "auto"
    assert Options().ordered
    assert not Options().progress


@pytest.mark.parametrize("name", ["max_workers", "chunksize", "buffersize"])
@pytest.mark.parametrize(("value", "number"), [(1, 1), (10**6, 10**6), (Four(), 4), (None, None)], ids=str)
def test_whole_numbers(name: str, value: Any, number: int | None) -> None:
    """Whatever counts as a whole number of at least one becomes an int; None leaves it open."""
    assert getattr(resolve({name: value}), name) == number  # type: ignore[misc]


@pytest.mark.parametrize("name", ["max_workers", "chunksize", "buffersize"])
@pytest.mark.parametrize(
    "value",
    [0, -1, -(10**9), 1.0, 2.5, math.inf, "2", True, False, [1], int],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_not_whole_numbers(name: str, value: Any) -> None:
    """Everything else is an error that names the option and shows the value."""
    with pytest.raises(OptionError, match=f"^{name} must be") as caught:
        resolve({name: value})  # type: ignore[misc]
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (1.5, 1.5), (math.inf, math.inf), (Four(), 4.0)])
def test_timeouts(value: Any, seconds: float) -> None:
    """Any number of seconds that is not negative."""
    assert resolve({"timeout": value}).timeout == seconds
    assert isinstance(resolve({"timeout": value}).timeout, float)


@pytest.mark.parametrize(
    "value", [-1, -0.001, math.nan, "soon", [1], 1j], ids=lambda value: repr(value).split(" at 0x")[0]
)
def test_bad_timeouts(value: Any) -> None:
    """Negative, not a number, or no number at all."""
    with pytest.raises(OptionError, match=r"^timeout must"):
        resolve({"timeout": value})


@pytest.mark.parametrize("value", ["5", b"5", 10**400], ids=["text", "bytes", "huge"])
def test_text_is_no_timeout(value: Any) -> None:
    """Text that happens to look like a number is a mistake, and a huge number no OverflowError."""
    with pytest.raises(OptionError, match=r"^timeout must"):
        resolve({"timeout": value})


@pytest.mark.parametrize(
    ("n_jobs", "workers"), [(-1, 4), (-2, 3), (-4, 1), (-5, 1), (-100, 1), (1, 1), (3, 3), (50, 50)]
)
def test_n_jobs_as_joblib_means_it(n_jobs: int, workers: int) -> None:
    """-1 is all usable cores, -2 all but one, never fewer than one; positive numbers are themselves."""
    assert resolve({"n_jobs": n_jobs}, cores=lambda: 4).max_workers == workers


def test_cores_are_counted_only_when_asked_for() -> None:
    """Looking at the machine costs time: a number that needs no cores does not ask for them."""
    for wishes in ({}, {"n_jobs": 3}, {"n_jobs": None}, {"max_workers": 2}):
        resolve(wishes, cores=lambda: pytest.fail("nobody needs to know"))  # type: ignore[arg-type]


def test_n_jobs_may_be_none() -> None:
    """As in joblib, None says nothing; beside max_workers, too."""
    assert resolve({"n_jobs": None}).max_workers is None
    assert resolve({"n_jobs": None, "max_workers": 2}).max_workers == 2
    assert resolve({"n_jobs": 2, "max_workers": None}).max_workers == 2


@pytest.mark.parametrize(
    "value", [0, 1.5, "2", True, False, [1]], ids=lambda value: repr(value).split(" at 0x")[0]
)
def test_bad_n_jobs(value: Any) -> None:
    """Zero has no meaning, and neither have fractions, text and truth."""
    with pytest.raises(OptionError, match=r"^n_jobs must"):
        resolve({"n_jobs": value})


def test_n_jobs_and_max_workers_at_once() -> None:
    """They mean the same, so one of them is a mistake."""
    with pytest.raises(OptionError, match="not both"):
        resolve({"n_jobs": 2, "max_workers": 2})


@pytest.mark.parametrize("name", BACKENDS)
def test_named_backends(name: str) -> None:
    """Each name is taken as it is."""
    if name == "joblib" and util.find_spec("joblib") is None:
        pytest.skip("joblib is not installed")
    assert resolve({"backend": name}).backend == name


def test_an_executor_as_backend() -> None:
    """Any instance of the standard library's base class."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert resolve({"backend": pool}).backend is pool


@pytest.mark.parametrize(
    "value",
    ["", "Threads", "dask", None, 1, concurrent.futures.ThreadPoolExecutor, object()],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_unknown_backends(value: Any) -> None:
    """A wrong name, a class instead of an instance, anything else: the error lists what there is."""
    with pytest.raises(OptionError) as caught:
        resolve({"backend": value})
    for name in BACKENDS:
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("wishes", "package"), [({"backend": "joblib"}, "joblib"), ({"progress": True}, "tqdm")], ids=str
)
def test_missing_packages(wishes: Wishes, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that needs a package that is not there fails at once and says what to install."""
    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: None if name == package else real(name, *more))
    with pytest.raises(MissingExtra, match=r"pip install 'autoexec-futures\[\w+\]'") as caught:
        resolve(wishes)
    assert package in str(caught.value)


def test_misspelt_options() -> None:
    """The error names the culprit and all the options there are."""
    with pytest.raises(OptionError, match="unknown option 'workers'") as caught:
        resolve({"workers": 2})  # type: ignore[typeddict-unknown-key]
    for entry in dataclasses.fields(Options):
        assert entry.name in str(caught.value)
    assert "n_jobs" in str(caught.value)


def test_the_call_wins_over_its_base() -> None:
    """What the call says is laid over what the decorator said; the rest stays."""
    base = resolve({"max_workers": 2, "chunksize": 5, "ordered": False})
    options = resolve({"max_workers": 3}, base)
    assert options == Options(max_workers=3, chunksize=5, ordered=False)
    assert resolve({"n_jobs": 7}, base).max_workers == 7
    assert resolve({"chunksize": None}, base).chunksize is None
    assert resolve({}, base) == base
    assert base.max_workers == 2


def test_the_wishes_are_left_alone() -> None:
    """The caller's dictionary is not changed."""
    wishes: Wishes = {"n_jobs": 2, "chunksize": 3}
    resolve(wishes)
    assert wishes == {"n_jobs": 2, "chunksize": 3}


def test_errors_are_value_and_type_errors() -> None:
    """Callers that catch what the standard library raises catch ours."""
    for expected in (ValueError, TypeError):
        with pytest.raises(expected):
            resolve({"chunksize": 0})


def test_every_option_is_documented() -> None:
    """Each field has its lines in the one place where options are described."""
    for entry in dataclasses.fields(Options):
        assert f"\n    {entry.name}: " in (inspect.getdoc(Options) or "")
