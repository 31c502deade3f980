"""Profiles and plans as compact tables for people."""

from __future__ import annotations

from ..records import Forecast, Plan, Profile

__all__ = ["explanation"]


def explanation(profile: Profile, plan: Plan) -> str:
    """What one item costs, what every way to run the rest would take, and the choice.

    >>> from autoexec.records import Plan, Profile
    >>> print(explanation(Profile("f", 1, 2e-3, 2e-3, 0.0, 0.0), Plan("serial", reason="why not")))
    f: too small to matter
      one item (1 measured)   2 ms
        CPU with the GIL      2 ms
        CPU without the GIL   0
        waiting               0
        native threads' CPU   0
        child processes' CPU  0
        bytes in / out        not measured
      choice                  serial: why not
    """
    rows = [
        (f"one item ({profile.items} measured)", seconds(profile.wall_s)),
        ("  CPU with the GIL", seconds(profile.held_s)),
        ("  CPU without the GIL", seconds(profile.free_s)),
        ("  waiting", seconds(profile.wait_s)),
        ("  native threads' CPU", seconds(profile.other_threads_s)),
        ("  child processes' CPU", seconds(profile.children_s)),
        ("  bytes in / out", _bytes(profile)),
    ]
    rows += [(f"{_way(way)}", _forecast(way)) for way in plan.forecasts]
    rows.append(("choice", str(plan)))
    width = max(len(name) for name, _ in rows)
    head = f"{profile.function}: {profile.kind.value}" + (
        f" ({profile.evidence})" if profile.evidence else ""
    )
    left = f"\n  rest: {profile.remaining} items" if profile.remaining is not None else ""
    return head + left + "".join(f"\n  {name:<{width}}  {value}" for name, value in rows)


def seconds(value: float) -> str:
    """Seconds in the unit that fits.

    >>> seconds(0.0125), seconds(3.2), seconds(4e-6), seconds(0.0)
    ('12.5 ms', '3.2 s', '4 µs', '0')
    """
    if value <= 0:
        return "0"
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _bytes(profile: Profile) -> str:
    if profile.bytes_in is None:
        return "not measured"
    out = "?" if profile.bytes_out is None else f"{profile.bytes_out:,}"
    return f"{profile.bytes_in:,} / {out}, {seconds(profile.crossing_s)} to cross"


def _way(way: Forecast) -> str:
    return f"{way.backend}" if way.backend == "serial" else f"{way.backend} × {way.max_workers}"


def _forecast(way: Forecast) -> str:
    text = f"{seconds(way.seconds)} forecast"
    return f"{text}, not allowed: {way.refused}" if way.refused else text
