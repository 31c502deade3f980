"""Whom does an item concern? The host of its URL, or whatever the caller says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import OptionError
from .answers import member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["host_of", "key_function", "plain_host"]

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_PLAIN = frozenset({type(None), bool, int, float, complex, tuple, list, dict, set, frozenset, range})
_MISSING = object()


def host_of(item: object) -> str:
    """The host that an item's URL names, in lower case, with the port unless it is the scheme's own.

    An item may be a URL (text, bytes, or an object such as `yarl.URL`), a request (an object with a `url` or
    `full_url`), or arguments of which the first is one. "" for anything else, and for a malformed URL.

    >>> host_of("https://me:secret@API.example.org:8443/v1?q=2"), host_of(("http://a.org:80/", 3)), host_of(7)
    ('api.example.org:8443', 'a.org', '')
    """
    plain = plain_host(item)
    if plain is not None:
        return plain
    try:
        host = _host(item)
        if not host and isinstance(item, (tuple, list)) and item:
            host = _host(item[0])
    except Exception:  # a malformed URL, or an object of theirs that fails when asked
        return ""
    return host


def plain_host(item: object) -> str | None:
    """What `host_of` gives, where no code of the item's own class has to run to tell; else None.

    That is so for None, numbers, text, bytes and built-in containers, and for tuples and lists that begin
    with one of these. It takes a tenth of a microsecond, and half of one for a URL of the usual form.

    >>> plain_host(("https://API.example.org/v1", 3)), plain_host(7), plain_host(object())
    ('api.example.org', '', None)
    """
    kind = type(item)
    try:
        if kind is tuple or kind is list:
            item = item[0] if item else None  # type: ignore[index]
            kind = type(item)
        if kind is str:
            return _host_in(item)  # type: ignore[arg-type]
        if kind is bytes:
            return _host_in(_url_text(item) or "")
    except Exception:  # a malformed URL, or a list that another thread has just emptied
        return ""
    return "" if kind in _PLAIN else None


def key_function(per: str | Callable[[Any], object] | None) -> Callable[[object], str]:
    """What tells which limits an item falls under.

    Args:
        per: None for the host; the name of an attribute of the items, or of a key if they are mappings; or a
            function of the item. What it gives is turned into text, None into "".

    Raises:
        OptionError: if it is none of these; from the function returned, if an item has no such attribute.
    """
    if per is None:
        return host_of
    if isinstance(per, str) and per:
        name = per
        return lambda item: _text(_named(item, name))
    if callable(per):
        ask = per
        return lambda item: _text(ask(item))
    raise OptionError(f"per must be a function of the item or the name of an attribute, not {per!r}")


def _text(key: object) -> str:
    return "" if key is None else str(key)


def _named(item: object, name: str) -> object:
    found = _look(item, name)
    if found is _MISSING and isinstance(item, (tuple, list)) and item:
        found = _look(item[0], name)
    if found is _MISSING:
        raise OptionError(
            f"per={name!r}: a {type(item).__name__} has no attribute or key of that name; "
            "give a function of the item instead"
        )
    return found


def _look(item: object, name: str) -> object:
    if isinstance(item, Mapping):
        return item.get(name, _MISSING)
    return getattr(item, name, _MISSING)


def _host(item: object) -> str:
    text = _url_text(item)
    if text is None:
        for name in ("url", "full_url"):
            text = _url_text(member(item, name))
            if text is not None:
                break
    return _host_in(text) if text is not None else ""


def _url_text(value: object) -> str | None:
    """A URL in whatever form as text, or None; text that holds no scheme is no URL."""
    if isinstance(value, bytes):
        value = value[:8192].decode("latin-1") if value.find(b"://", 0, 40) > 0 else ""
    if isinstance(value, str):
        return value
    if type(value) in _PLAIN:
        return None
    names = {name for cls in type(value).__mro__ for name in _URL_PARTS & vars(cls).keys()}
    if "scheme" not in names or len(names) == 1:
        return None
    ask = member(value, "geturl")  # what urllib.parse splits
    return str(ask() if callable(ask) else value)


_URL_PARTS = frozenset({"scheme", "host", "hostname", "netloc"})


def _host_in(text: str) -> str:
    """The host in a URL; "" for other text."""
    end = text.find("://", 0, 40)
    if end < 1:
        return ""
    own = _PORTS.get(text[:end])
    if own is not None:
        stop = text.find("/", end + 3)
        host = _usual_host(text[end + 3 :] if stop < 0 else text[end + 3 : stop], own)
        if host:
            return host
    return _split_host(text, text[:end])


def _usual_host(netloc: str, own: int) -> str:
    """What stands between scheme and path, where it is a plain name and perhaps a port; "" if it is not.

    A tenth of the time of `urlsplit`, which knows the rest.
    """
    name, colon, port = netloc.partition(":")
    if not name.isascii() or name[-1:] == "." or not name.replace(".", "").replace("-", "").isalnum():
        return ""
    if not colon:
        return name.lower()
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536):
        return ""
    return name.lower() if int(port) == own else f"{name.lower()}:{int(port)}"


def _split_host(text: str, scheme: str) -> str:
    """The host in a URL of any form; "" if it is none.

    Raises:
        ValueError: if it is malformed.
    """
    if not scheme.strip().replace("+", "").replace("-", "").replace(".", "").isalnum():
        return ""
    from urllib.parse import urlsplit

    parts = urlsplit(text.strip())
    host = (parts.hostname or "").rstrip(".")
    if not host:
        return ""
    if ":" in host:  # IPv6
        host = f"[{host}]"
    port = parts.port
    return host if port is None or port == _PORTS.get(parts.scheme) else f"{host}:{port}"
