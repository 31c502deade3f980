"""One set of options: what can be meant, what cannot, and what wins."""

from __future__ import annotations

import ast
import concurrent.futures
import dataclasses
import inspect
import math
import pickle
import sys
from decimal import Decimal
from fractions import Fraction
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import autoexec
from autoexec import api
from autoexec.errors import MissingExtra, OptionError
from autoexec.options import ROWS, Options, resolve
from autoexec.registry import names, refusal, row

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


SECONDS: list[tuple[Any, float]] = [
    (0, 0.0),
    (1.5, 1.5),
    (Four(), 4.0),
    (Decimal("2.5"), 2.5),
    (Fraction(1, 2), 0.5),
    (86400 * 365, 31536000.0),
]


@pytest.mark.parametrize(("value", "seconds"), SECONDS, ids=str)
def test_timeouts(value: Any, seconds: float) -> None:
    """Any number of seconds that is not negative, whatever its type."""
    assert resolve({"timeout": value}).timeout == seconds
    assert isinstance(resolve({"timeout": value}).timeout, float)


@pytest.mark.parametrize("name", ["timeout", "item_timeout"])
@pytest.mark.parametrize(
    "value", [math.inf, 1e300, 10**10, Decimal("inf"), 10**300], ids=lambda x: f"{x:.3g}"
)
def test_seconds_without_end(name: str, value: Any) -> None:
    """More than anybody waits, and more than waits can be told, means no limit; also over a decorator's."""
    assert getattr(resolve({name: value}), name) is None  # type: ignore[misc]
    base = Options(timeout=1.0, item_timeout=1.0)
    assert getattr(resolve({name: value}, base), name) is None  # type: ignore[misc]


@pytest.mark.parametrize(
    "wish", [{"item_timeout": math.inf}, {"timeout": math.inf}, {"timeout": 9e8}], ids=str
)
@pytest.mark.parametrize(
    "more", [{}, {"rate": "500/s"}, {"backend": "threads"}, {"backend": "serial"}], ids=str
)
def test_limits_without_end_limit_nothing(wish: dict[str, Any], more: dict[str, Any]) -> None:
    """The results are there, as without the option."""
    assert list(autoexec.map(abs, range(20), **wish, **more)) == list(range(20))


@pytest.mark.parametrize("name", ["max_workers", "chunksize", "buffersize", "burst", "retries"])
def test_numbers_beyond_all_bounds(name: str) -> None:
    """They mean as many as there are; what is counted with stays small."""
    wishes: Any = {"rate": "1000/s"} if name == "burst" else {}
    found = getattr(resolve({name: 10**19, **wishes}), name)
    assert 10**9 < found < 2**31
    assert list(autoexec.map(abs, iter(range(50)), **{name: 10**19}, **wishes)) == list(range(50))


@pytest.mark.parametrize("backend", ["processes", "joblib"])
def test_more_processes_than_any_machine_runs(backend: str) -> None:
    """That is a mistake, and would only show when memory is gone."""
    if backend == "joblib":
        pytest.importorskip("joblib")
    with pytest.raises(OptionError, match="max_workers"):
        resolve({"max_workers": 10**6, "backend": backend})
    with pytest.raises(OptionError, match="max_workers"):
        resolve({"n_jobs": 10**19, "backend": backend})
    assert resolve({"max_workers": 10**6}).max_workers == 10**6  # calls of an async function


def test_numbers_of_numpy() -> None:
    """Its whole numbers and fractions are some, its truth values are none."""
    np = pytest.importorskip("numpy")
    options = resolve({"max_workers": np.int64(3), "timeout": np.float32(0.5), "ordered": np.bool_(False)})
    assert (options.max_workers, options.timeout, options.ordered) == (3, 0.5, False)
    assert {type(options.max_workers), type(options.timeout), type(options.ordered)} == {int, float, bool}
    wrong: dict[str, Any] = {"max_workers": np.float64(3), "timeout": np.True_, "chunksize": np.True_}
    wrong |= {"on_error": np.array(["raise"] * 2), "ordered": np.array([1, 2])}
    for name, value in wrong.items():
        with pytest.raises(OptionError, match=f"^{name} must be"):
            resolve({name: value})  # type: ignore[misc]


class Trap:
    """Whatever it is asked to be, it raises."""

    def __index__(self) -> int:
        raise RuntimeError("no number")

    __float__ = __bool__ = __fspath__ = __len__ = __index__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparing")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("name", [entry.name for entry in dataclasses.fields(Options)])
@pytest.mark.parametrize("make", [Trap, object, mock.Mock, lambda: -(10**5000)], ids=["a", "b", "c", "d"])
def test_odd_values_are_refused_at_once(name: str, make: Any) -> None:
    """Whatever a value does when it is looked at, the error is the one kind, at the call."""
    others: Any = {"burst": {"rate": 1}, "key": {"journal": "x"}}.get(name, {})
    if name in ("per", "initializer", "key", "size", "retry_on") and make is mock.Mock:
        pytest.skip("a mock is a good function")
    with pytest.raises(OptionError, match=name):
        api.resolved({**others, name: make()})  # type: ignore[misc]


@pytest.mark.parametrize("name", ["ordered", "progress"])
@pytest.mark.parametrize("value", ["no", "False", 2, [], 0.0], ids=repr)
def test_switches_are_on_or_off(name: str, value: Any) -> None:
    """Text would be taken for True whatever it says."""
    with pytest.raises(OptionError, match=f"^{name} must be True or False"):
        resolve({name: value})  # type: ignore[misc]
    assert [getattr(resolve({name: value}), name) for value in (0, True)] == [False, True]  # type: ignore[misc]


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


@pytest.mark.parametrize("name", names())
def test_named_backends(name: str) -> None:
    """Each name is taken as it is."""
    if name == "joblib" and util.find_spec("joblib") is None:
        pytest.skip("joblib is not installed")
    if words := refusal(row(name), None):
        with pytest.raises(OptionError, match=words):
            resolve({"backend": name})
        return
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
    for name in names():
        assert name in str(caught.value)


PACKAGES: list[tuple[Any, str]] = [
    ({"backend": "joblib"}, "joblib"),
    ({"progress": True}, "tqdm"),
    ({"rate": 1}, "pyrate_limiter"),
    ({"retries": 2}, "tenacity"),
]


@pytest.mark.parametrize(("wishes", "package"), PACKAGES, ids=str)
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


# Limits, retries, journals ----------------------------------------------------------------------------------

VALID: list[tuple[str, Any]] = [
    ("item_timeout", 0.5),
    ("rate", "10/s"),
    ("rate", 5),
    ("rate", 0.5),
    ("per", "host"),
    ("per", len),
    ("retries", 0),
    ("retries", 3),
    ("retry_on", OSError),
    ("retry_on", (OSError, KeyError)),
    ("retry_on", callable),
    ("retry_budget", 0.0),
    ("retry_budget", 2.5),
    ("on_error", "raise"),
    ("on_error", "return"),
    ("on_error", "skip"),
    ("initializer", print),
    ("initargs", (1, 2)),
    ("journal", "run.sqlite"),
    ("codec", "pickle"),
    ("codec", "json"),
    ("size", len),
    ("writable", "copy"),
]


@pytest.mark.parametrize(("name", "value"), VALID, ids=str)
def test_what_can_be_meant_is_kept(name: str, value: Any) -> None:
    """Each value arrives as it was given; None beside it means the default again."""
    assert getattr(resolve({name: value}), name) == value  # type: ignore[misc]
    assert getattr(resolve({name: None}), name) == getattr(Options(), name)  # type: ignore[misc]


@pytest.mark.parametrize("name", [entry.name for entry in dataclasses.fields(Options)])
def test_none_means_the_default(name: str) -> None:
    """Every option but `backend` can be given as None; over a decorator's value it sets the default again."""
    if name == "backend":
        pytest.skip("a backend of None is more often a mistake than a wish")
    wishes: Any = {name: None}
    assert resolve(wishes) == Options()
    base = Options(max_workers=3, rate="9/s", burst=2, journal="x", key=len, on_error="skip", retries=2)
    if name not in ("rate", "journal"):  # without these, burst and key would have nothing to belong to
        assert getattr(resolve(wishes, base), name) == getattr(Options(), name)


def test_values_become_what_the_engine_expects(tmp_path: Path) -> None:
    """Numbers by `__index__`, paths as text, any iterable of arguments as a tuple."""
    options = resolve(
        {"burst": Four(), "rate": 1, "retries": Four(), "initargs": [1, 2], "item_timeout": Four()}  # type: ignore[typeddict-item]
    )
    assert (options.burst, options.retries, options.initargs, options.item_timeout) == (4, 4, (1, 2), 4.0)
    for path in (tmp_path / "run.sqlite", str(tmp_path / "run.sqlite"), bytes(tmp_path / "run.sqlite")):
        assert resolve({"journal": path}).journal == str(tmp_path / "run.sqlite")  # type: ignore[typeddict-item]


def test_a_policy_for_retries() -> None:
    """A tenacity policy is taken as it is."""
    tenacity = pytest.importorskip("tenacity")
    policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(2))
    assert resolve({"retries": policy}).retries is policy


INVALID: list[tuple[str, Any]] = [
    *(("item_timeout", bad) for bad in (0, 0.0, -1, math.nan, "5", True, [1])),
    *(("burst", bad) for bad in (0, -1, 1.5, "2", True)),
    *(("per", bad) for bad in ("", 3, ["host"], b"host")),
    *(("retries", bad) for bad in (-1, 1.5, "3", True, OSError)),
    *(("retry_on", bad) for bad in (3, "OSError", int, (), (OSError, 3), [OSError], OSError())),
    *(("retry_budget", bad) for bad in (-1, -0.1, math.nan, "much", True)),
    *(("on_error", bad) for bad in ("ignore", "", True, 1, OSError)),
    *(("initializer", bad) for bad in (3, "setup")),
    ("initargs", 3),
    *(("journal", bad) for bad in (3, 1.5, ["run.sqlite"], "a\0b")),
    *(("key", bad) for bad in (3, "id")),
    *(("codec", bad) for bad in ("yaml", "", 1, True)),
    *(("size", bad) for bad in (3, "size", True)),
    *(("writable", bad) for bad in ("yes", "", True, False, 1)),
]


@pytest.mark.parametrize(
    ("name", "value"), INVALID, ids=lambda value: repr(value).split(" at 0x")[0].removeprefix("<")
)
def test_what_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    """The error names the option and shows the value."""
    with pytest.raises(OptionError, match=rf"\b{name} must") as caught:
        resolve({"rate": 1, "journal": "x", name: value})  # type: ignore[misc]
    assert repr(value) in str(caught.value) or isinstance(value, tuple) or value in (0, -1)


def test_an_initializer_is_an_ordinary_function() -> None:
    """Nobody would await it; the message says what to do instead."""

    async def opening() -> None: ...

    with pytest.raises(OptionError, match=r"initializer must be an ordinary function.*per_worker"):
        resolve({"initializer": opening})


@pytest.mark.parametrize(
    "rate", ["fast", "", "0/s", -1, 0, math.nan, math.inf, "10/fortnight", True, [1]], ids=str
)
def test_a_rate_that_is_none_is_refused_at_every_door(rate: Any) -> None:
    """Its text is read before anything runs."""
    ran: list[int] = []
    for call in (
        lambda: autoexec.map(ran.append, [1], rate=rate),
        lambda: autoexec.Executor(rate=rate),
        lambda: autoexec.parallel(rate=rate),
    ):
        with pytest.raises(OptionError, match="rate must"):
            call()
    assert ran == []


@pytest.mark.parametrize("rate", ["10/s", "100/min", "1000 per hour", "5 / 2 s", 0.1, 10**6])
def test_rates_people_write(rate: Any) -> None:
    """A number of calls and a time."""
    assert list(autoexec.map(abs, [-1], rate=rate)) == [1]


@pytest.mark.parametrize(
    ("wishes", "missing"), [({"burst": 2}, "rate"), ({"key": len}, "journal")], ids=["burst", "key"]
)
def test_options_that_belong_to_another(wishes: Any, missing: str) -> None:
    """Alone they mean nothing; the other one may come from the decorator."""
    with pytest.raises(OptionError, match=f"{missing}=; give both|give {missing}= too"):
        resolve(wishes)
    assert resolve(wishes, Options(rate=1, journal="run.sqlite"))


@pytest.mark.parametrize(
    ("wish", "words", "good"),
    [
        ({"rate": "10/s"}, "works in threads and with async functions", ("auto", "threads")),
        ({"item_timeout": 1.0}, "works in threads, in processes and", ("auto", "threads", "processes")),
    ],
    ids=["rate", "item_timeout"],
)
def test_options_that_not_every_backend_can_keep(
    wish: dict[str, Any], words: str, good: tuple[str, ...]
) -> None:
    """A rate is kept in this process; a call's patience wherever a call can be given up or ended."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for backend in ("auto", "serial", "threads", "processes", "joblib", pool):
            if backend == "joblib" and util.find_spec("joblib") is None:
                continue
            if backend in good:
                assert resolve({**wish, "backend": backend}).backend == backend  # type: ignore[typeddict-item]
            else:
                with pytest.raises(OptionError, match=words):
                    resolve({**wish, "backend": backend})  # type: ignore[typeddict-item]


def test_what_keeps_calls_in_this_process() -> None:
    """A rate does; the seconds that a call may take do not."""
    assert resolve({"rate": 5, "item_timeout": 1.0}).in_process == "rate"
    assert resolve({"item_timeout": 1.0}).in_process == ""


def test_a_size_collects_the_input_and_so_takes_no_buffersize() -> None:
    """Neither at one call nor over a decorator's value; async functions have no size to tell at once."""
    for wishes, base in (({"size": len, "buffersize": 3}, None), ({"size": len}, Options(buffersize=3))):
        with pytest.raises(OptionError, match="leave buffersize= out"):
            resolve(wishes, base)  # type: ignore[arg-type]

    async def size(item: object) -> float:
        return 1.0

    with pytest.raises(OptionError, match="size must be an ordinary function"):
        resolve({"size": size})  # type: ignore[typeddict-item]


ATTENDED: list[dict[str, Any]] = [
    {"rate": 1},
    {"per": "host"},
    {"retries": 1},
    {"journal": "run.sqlite"},
    {"on_error": "return"},
    {"on_error": "skip"},
]


@pytest.mark.parametrize("wish", ATTENDED, ids=str)
def test_single_calls_need_attention(wish: Any) -> None:
    """Each of these options alone is a reason to look at every call; none of the others is."""
    assert resolve(wish).attended
    rest = {"max_workers": 2, "chunksize": 3, "buffersize": 9, "timeout": 1.0, "initializer": print}
    assert not resolve(rest).attended  # type: ignore[arg-type]
    assert Options().in_process == ""


def test_the_signature_of_the_decorator_shows_every_option() -> None:
    """With its default, as its row says."""
    shown = inspect.signature(autoexec.parallel).parameters
    assert set(shown) == {"func", "n_jobs", *ROWS}
    for name, option in ROWS.items():
        assert shown[name].default == option.default
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert pickle.loads(pickle.dumps(autoexec.parallel)) is autoexec.parallel


def test_what_type_checkers_know_is_what_there_is() -> None:
    """`Wishes` is for them alone; it lists the same options in the same order."""
    tree = ast.parse(inspect.getsource(sys.modules[Options.__module__]))
    wishes = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == "Wishes")
    listed = [ast.unparse(node.target) for node in wishes.body if isinstance(node, ast.AnnAssign)]
    assert sorted(listed) == sorted(["n_jobs", *ROWS])


@pytest.mark.parametrize("name", ROWS)
def test_an_executor_refuses_what_its_calls_would_not_obey(name: str) -> None:
    """The row says what to do instead."""
    value: Any = {"codec": "json", "on_error": "skip", "progress": True, "ordered": False}.get(name, 1)
    value = {"key": len, "size": len, "journal": "x"}.get(name, value)
    if not ROWS[name].executor:
        return
    extra = {"key": {"journal": "x"}}.get(name, {})
    with pytest.raises(OptionError, match=r"^\w+= (is for a whole map|belongs to map)"):
        autoexec.Executor(**{name: value}, **extra)  # type: ignore[arg-type]
