"""What belongs to the whole process, or to one thread, by the names that code uses for it.

What may live here: rows of names, for a glance (`quick_check`) and a reading (`item_state`). A name is the
path of one object in its module, whatever a program calls that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALWAYS", "LOOPS", "NAMES", "ONE_AT_A_TIME", "OWN_THREAD", "SETTERS", "STDIN", "WINDOWS"]

# Set for as long as an item takes, and set back: another item that runs meanwhile finds it.
ALWAYS: dict[str, str] = {
    "contextlib": "chdir redirect_stdout redirect_stderr",
    "os": "fchdir chroot dup2",
    "random": "seed setstate",
    "numpy.random": "seed set_state",
    "warnings": "catch_warnings",
    "unittest.mock": "patch",
    "calendar": "LocaleTextCalendar LocaleHTMLCalendar different_locale",
    "locale": "resetlocale",
    "time": "tzset",
    "gc": "disable",
    "sys": "settrace setprofile",
    "threading": "settrace setprofile settrace_all_threads setprofile_all_threads",
    "tracemalloc": "start stop reset_peak clear_traces",
    "cProfile": "Profile run runctx",
    "profile": "Profile run runctx",
    "faulthandler": "dump_traceback_later cancel_dump_traceback_later",
    "logging": "Logger.removeHandler Logger.removeFilter",
    "freezegun": "freeze_time",
    "freezegun.api": "freeze_time",
    "time_machine": "travel",
    "pandas": "option_context",
    "pandas._config.config": "option_context",
    "torch": "manual_seed",
    "tensorflow.random": "set_seed",
}
# The same, but many a program sets it again and again to one and the same value: that harms nobody.
SETTERS: dict[str, str] = {
    "os": "chdir umask putenv unsetenv nice setpriority seteuid setegid setuid setgid",
    "locale": "setlocale",
    "warnings": "simplefilter filterwarnings resetwarnings",
    "socket": "setdefaulttimeout",
    "sys": "setrecursionlimit setswitchinterval set_int_max_str_digits setdlopenflags",
    "csv": "field_size_limit",
    "logging": "disable captureWarnings Logger.setLevel Logger.addHandler Logger.addFilter setLoggerClass",
    "faulthandler": "enable disable",
    "resource": "setrlimit",
    "numpy": "set_printoptions",
    "pandas": "set_option",
    "torch": "set_num_threads set_default_dtype",
}
# Only the main thread may do it, or has it.
OWN_THREAD: dict[str, str] = {
    "signal": "signal alarm setitimer siginterrupt set_wakeup_fd pause",
    "threading": "main_thread",
}
# The event loop that the caller's thread has.
LOOPS: dict[str, str] = {"asyncio.events": "get_event_loop get_event_loop_policy"}
# What belongs to one place on a screen: the thread that has made it.
WINDOWS = frozenset({"tkinter", "turtle"})
# Modules with a current figure, or the like, of which there is one for all threads.
ONE_AT_A_TIME = frozenset({"matplotlib.pyplot", "pylab"})
# Input that comes once, in order.
STDIN: dict[str, str] = {
    "builtins": "input",
    "sys": "stdin __stdin__",
    "fileinput": "input FileInput",
    "getpass": "getpass",
}


def _last(*tables: Mapping[str, str]) -> frozenset[str]:
    return frozenset(
        name.rpartition(".")[2] for table in tables for names in table.values() for name in names.split()
    )


# What code that does any of this names, unless it calls it by another name.
NAMES = _last(ALWAYS, SETTERS, OWN_THREAD, LOOPS, STDIN) | {"environ", "environb"}
