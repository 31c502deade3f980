"""What of the options goes along with every call: one place in which wishes become a `CallSpec`.

What may live here: whatever an option puts around items (`CallSpec.around`), or into their workers. From here
it stands on every backend and behind every door.
"""

from __future__ import annotations

from ..worker.invoke import CallSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable
    from typing import Any

    from ..options import Options

__all__ = ["spec_of"]


def spec_of(
    call: Callable[..., Any],
    options: Options,
    *,
    star: bool,
    capture: bool = False,
    context: contextvars.Context | None = None,
) -> CallSpec:
    """What a run, an executor or a trial calls, and how.

    Args:
        call: the function.
        options: the resolved options.
        star: whether items are argument tuples.
        capture: whether an item's error is a value among others.
        context: the caller's context variables at the call, or None where each worker has its own.
    """
    return CallSpec(
        call,
        star=star,
        capture=capture,
        initializer=options.initializer,
        initargs=options.initargs,
        context=context,
    )
