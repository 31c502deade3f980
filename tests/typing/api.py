"""Read by mypy, never run: what the doors promise to a type checker."""

# ruff: noqa: D103 (only signatures matter)

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor as BaseExecutor
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import assert_type

    import autoexec

    def length(text: str, *, scale: float = 1.0) -> float:
        return len(text) * scale

    def add(a: int, b: str) -> bytes:
        return b.encode() * a

    # map and starmap: the results are what the function returns.
    assert_type(autoexec.map(length, ["a"]), autoexec.Results[float])
    assert_type(list(autoexec.map(add, [1], ["x"])), list[bytes])
    assert_type(list(autoexec.starmap(add, [(1, "x")])), list[bytes])
    assert_type(next(autoexec.map(length, ["a"], max_workers=2, timeout=1.5)), float)
    iterator: Iterator[float] = autoexec.map(length, ["a"], ordered=False, backend="threads")
    with autoexec.map(length, ["a"]) as results:
        assert_type(results, autoexec.Results[float])
        assert_type(results.plan, autoexec.Plan | None)
        assert_type(results.profile, autoexec.Profile | None)
    autoexec.map(length, ["a"], backend=ThreadPoolExecutor(2))
    autoexec.map(length, ["a"], max_worker=2)  # type: ignore[call-overload]
    autoexec.map(length, ["a"], max_workers="2")  # type: ignore[call-overload]
    autoexec.map(3, ["a"])  # type: ignore[call-overload]

    # An async function's results are what its calls return, whichever door they take.
    async def fetch(url: str) -> bytes:
        return url.encode()

    @autoexec.parallel
    async def crawl(url: str) -> bytes:
        return url.encode()

    assert_type(autoexec.map(fetch, ["a"]), autoexec.Results[bytes])
    assert_type(list(autoexec.starmap(fetch, [("a",)])), list[bytes])
    assert_type(autoexec.amap(fetch, ["a"]), autoexec.AsyncResults[bytes])
    assert_type(autoexec.amap(length, ["a"], rate="10/s"), autoexec.AsyncResults[float])
    assert_type(list(crawl.map(["a"])), list[bytes])
    assert_type(crawl.submit("a"), Future[bytes])
    assert_type(autoexec.Executor().submit(fetch, "a").result(), bytes)
    assert_type(autoexec.per_worker(dict, a=1)(), dict[str, int])
    assert_type(autoexec.map(length, ["a"], retries=3, on_error="skip").stats(), autoexec.Stats)

    # The decorator keeps arguments and result, with and without options.
    @autoexec.parallel
    def plain(text: str, *, scale: float = 1.0) -> float:
        return len(text) * scale

    @autoexec.parallel(max_workers=2, ordered=False)
    def configured(a: int, b: str) -> bytes:
        return b.encode() * a

    assert_type(plain("x", scale=2.0), float)
    assert_type(configured(1, "x"), bytes)
    assert_type(plain.map(["a", "b"]), autoexec.Results[float])
    assert_type(list(configured.map([1, 2], ["a", "b"], timeout=3)), list[bytes])
    assert_type(list(configured.starmap([(1, "a")])), list[bytes])
    assert_type(plain.submit("x"), Future[float])
    assert_type(configured.submit(1, b="x").result(), bytes)
    function: Callable[[int, str], bytes] = configured
    plain(3)  # type: ignore[arg-type]
    plain.submit("x", size=1.0)  # type: ignore[call-arg]
    configured.map([1], ["a"], bufersize=3)  # type: ignore[call-arg]
    autoexec.parallel(max_workers=1.5)  # type: ignore[call-overload]

    # The executor is one of the standard library's.
    with autoexec.Executor(max_workers=3) as executor:
        assert_type(executor, autoexec.Executor)
        assert_type(executor.submit(length, "x", scale=2.0), Future[float])
        assert_type(list(executor.map(add, [1], ["x"], chunksize=2, buffersize=4)), list[bytes])
        assert_type(executor.plans, dict[str, autoexec.Plan])
        executor.submit(length, 3)  # type: ignore[call-overload]
    anyone: BaseExecutor = autoexec.Executor(4)

    # Looking without running.
    assert_type(autoexec.profile(length, ["a"]), autoexec.Profile)
    assert_type(autoexec.machine(), autoexec.Machine)
