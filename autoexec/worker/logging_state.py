"""Levels and handlers of the loggers: what can be said of them in plain values, and set again elsewhere.

What may live here: the rows of `process_state` about logging. A handler that writes to a file, or to a
standard stream, can be made again by whoever knows its name; any other one is the process's own (`bound`).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["LEVELS", "bound", "handlers", "levels", "loggers", "set_handlers", "set_levels", "words"]

LEVELS: tuple[Any, ...] = (30, 0, ())  # of the root logger, of what is switched off, of the others
_STYLES = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}
_FILES = ("FileHandler", "WatchedFileHandler", "RotatingFileHandler", "TimedRotatingFileHandler")


def levels(logging: Any) -> tuple[Any, ...]:
    """Of all loggers that are not as they were made."""
    others = (
        (logger.name, logger.level, logger.propagate, bool(logger.disabled))
        for logger in _named(logging)
        if logger.level or not logger.propagate or logger.disabled
    )
    return logging.root.level, logging.root.manager.disable, tuple(others)


def set_levels(logging: Any, value: tuple[Any, ...]) -> None:
    """Make them so; other loggers are as they were made."""
    root, disabled, others = value
    wanted = {name: how for name, *how in others}
    for logger in _named(logging):
        if logger.name not in wanted and (logger.level or not logger.propagate or logger.disabled):
            wanted[logger.name] = [0, True, False]
    logging.root.setLevel(root)
    logging.disable(disabled)
    for name, (level, propagate, off) in wanted.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, off


def handlers(logging: Any) -> tuple[Any, ...]:
    """Those that can be made again, by the names of their loggers."""
    found = []
    for logger in loggers(logging):
        if logger.handlers:
            made = tuple(told for one in logger.handlers if (told := words(logging, one)))
            if made:
                found.append((logger.name, made))
    return tuple(found)


def set_handlers(logging: Any, value: tuple[Any, ...]) -> None:
    """Give loggers these handlers; a file is opened when the first record comes, and never emptied."""
    wanted = dict(value)
    for logger in loggers(logging):
        wanted.setdefault(logger.name, ())
    for name, rows in wanted.items():
        logger = logging.root if name == "root" else logging.getLogger(name)
        had = [(one, words(logging, one)) for one in logger.handlers]
        if tuple(told for _, told in had if told) == rows:
            continue
        for one, told in had:
            if told:
                logger.removeHandler(one)
        for row in rows:
            logger.addHandler(_made(logging, row))


def bound(logging: Any) -> Iterator[Any]:
    """Handlers that no other process can have."""
    for logger in loggers(logging):
        for handler in logger.handlers:
            if type(handler) is not logging.NullHandler and not words(logging, handler):
                yield handler


def loggers(logging: Any) -> list[Any]:
    """All that were made."""
    return [logging.root, *_named(logging)]


def _named(logging: Any) -> list[Any]:
    found = list(logging.root.manager.loggerDict.values())
    return [logger for logger in found if isinstance(logger, logging.Logger)]


def words(logging: Any, handler: Any) -> tuple[Any, ...]:
    """A handler in plain values; () where that is not possible."""
    kind, form = type(handler), handler.formatter
    if handler.filters or kind.__module__ not in ("logging", "logging.handlers"):
        return ()
    written: tuple[Any, ...] = ()
    if form is not None:
        style = _STYLES.get(type(form._style).__name__)
        if type(form) is not logging.Formatter or style is None:
            return ()
        written = form._fmt, form.datefmt, style
    if kind.__name__ in _FILES:
        return "file", handler.baseFilename, handler.encoding, handler.level, written
    if kind is logging.StreamHandler:
        for name in ("stdout", "stderr"):
            if handler.stream is getattr(sys, f"__{name}__", None):
                return "stream", name, None, handler.level, written
    return ()


def _made(logging: Any, row: tuple[Any, ...]) -> Any:
    kind, name, encoding, level, written = row
    if kind == "file":  # whoever else writes there may have it renamed
        from logging.handlers import WatchedFileHandler

        handler: Any = WatchedFileHandler(name, "a", encoding, delay=True)
    else:
        handler = logging.StreamHandler(getattr(sys, f"__{name}__"))
    handler.setLevel(level)
    if written:
        text, dates, style = written
        handler.setFormatter(logging.Formatter(text, dates, style))
    return handler
