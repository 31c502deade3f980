"""What a worker is to `multiprocessing`: a child of the caller's, as if that had started it itself.

What may live here: what such a child gets (name, parent, key, start method, arguments), as read in the caller
and set in the worker. Modules and scripts ask there whether they are in the main process. A worker that has
not imported `multiprocessing` does not do so for this: it is told when the program does.
"""

from __future__ import annotations

import itertools
import os
import sys
from functools import partial

from ...introspect import loaded
from . import left_behind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["birth", "take"]

NAME = "multiprocessing"
_numbers = itertools.count(1)


def birth() -> dict[str, Any]:
    """In the caller: what the next worker is to be told of where it comes from. It holds a secret.

    >>> sorted(birth())
    ['argv', 'identity', 'key', 'method', 'parent']
    """
    process, context = loaded(f"{NAME}.process"), loaded(f"{NAME}.context")
    me = None if process is None else process.current_process()
    above, name = ((), "MainProcess") if me is None else (me._identity, me.name)
    method = None if context is None else context._default_context.get_start_method(allow_none=True)
    return {
        "identity": (*above, next(_numbers)),
        "parent": (name, os.getpid()),
        "key": None if me is None else bytes(me.authkey),
        "method": method,
        "argv": [arg if isinstance(arg, (str, bytes)) else str(arg) for arg in getattr(sys, "argv", ())],
    }


def take(about: dict[str, Any], lifeline: int, *, forked: bool) -> None:
    """In the worker: be what `birth` says.

    Args:
        about: that.
        lifeline: a descriptor at whose end the caller has ended.
        forked: whether it is a copy of the caller.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _Herald]
    then = partial(_identify, about, lifeline, forked)
    if not forked:
        sys.argv = about["argv"]
    if NAME in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Herald(then))


def _identify(about: dict[str, Any], lifeline: int, forked: bool) -> None:
    """`multiprocessing` is there: do what its own children do when they begin."""
    from multiprocessing import context, process, set_start_method

    kind = context.ForkProcess if forked else context.SpawnProcess
    own: dict[str, Any] = vars(process)
    identity, (name, pid) = about["identity"], about["parent"]
    me: Any = kind(name=f"{kind.__name__}-{':'.join(map(str, identity))}", daemon=False)
    me._identity, me._parent_name, me._parent_pid = identity, name, pid
    if about["key"] is not None:
        me.authkey = about["key"]
    own["_current_process"] = me
    own["_parent_process"] = own["_ParentProcess"](name, pid, lifeline)
    own["_process_counter"], own["_children"] = itertools.count(1), left_behind.own()
    if forked:
        _after_fork()
    elif about["method"] is not None:
        set_start_method(about["method"], force=True)


def _after_fork() -> None:
    """Queues, locks and proxies that a fork has copied get threads and connections of their own."""
    util = loaded(f"{NAME}.util")
    if util is not None:
        util._finalizer_registry.clear()
        util._run_after_forkers()


class _Herald:
    """Stands in `sys.meta_path` and tells when the program has imported `multiprocessing`.

    Args:
        then: called then.
    """

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the other finders find, made to tell when it has been run; nothing for other modules."""
        if name != NAME:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, self._then)
                return spec
        return None


class _Loader:
    """The loader of a module, and what follows once that has been run.

    Args:
        loader: it.
        then: called after it.
    """

    def __init__(self, loader: Any, then: Callable[[], None]) -> None:
        self._loader, self._then = loader, then

    def create_module(self, spec: Any) -> Any:
        """As the loader does it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """As the loader does it, which from then on is the module's own."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder) is not _Herald]
        self._then()
