"""Profiles and plans as compact tables for people."""

from __future__ import annotations

from ..records import Forecast, Plan, Profile, spell

__all__ = ["explanation"]


def explanation(profile: Profile, plan: Plan) -> str:
    """What one item costs, what every way to run the rest would take, and the choice.

    >>> from autoexec.records import Plan, Profile
    >>> print(explanation(Profile("f", 1, 2e-3, 2e-3, 0.0, 0.0), Plan("serial", reason="why not")))
    f: too small to matter
      one item (1 measured)   2 ms
        CPU with the GIL      2 ms
        CPU without the GIL   0 s
        waiting               0 s
        native threads' CPU   0 s
        child processes' CPU  0 s
        bytes in / out        not measured
      choice                  serial: why not
    """
    rows = [
        (f"one item ({profile.items} measured)", spell(profile.wall_s)),
        ("  CPU with the GIL", spell(profile.held_s)),
        ("  CPU without the GIL", spell(profile.free_s)),
        ("  waiting", spell(profile.wait_s)),
        ("  native threads' CPU", spell(profile.other_threads_s)),
        ("  child processes' CPU", spell(profile.children_s)),
        ("  bytes in / out", _bytes(profile)),
    ]
    if profile.memory_bytes:
        rows.append(("  memory", f"{profile.memory_bytes / 2**20:,.0f} MiB more while it runs"))
    rows += [(way.way, _forecast(way)) for way in plan.forecasts]
    rows.append(("choice", str(plan)))
    width = max(len(name) for name, _ in rows)
    head = f"{profile.function}: {profile.kind.value}" + (
        f" ({profile.evidence})" if profile.evidence else ""
    )
    left = f"\n  rest: {profile.remaining} items" if profile.remaining is not None else ""
    return head + left + "".join(f"\n  {name:<{width}}  {value}" for name, value in rows)


def _bytes(profile: Profile) -> str:
    if profile.bytes_in is None:
        return "not measured"
    out = "?" if profile.bytes_out is None else f"{profile.bytes_out:,}"
    return f"{profile.bytes_in:,} / {out}, {spell(profile.crossing_s)} to cross"


def _forecast(way: Forecast) -> str:
    text = f"{spell(way.seconds)} forecast"
    return f"{text}, not allowed: {way.refused}" if way.refused else text
