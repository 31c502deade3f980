"""The options as a table: the README's."""

from __future__ import annotations

from ..options import N_JOBS, ROWS

__all__ = ["options_table"]


def options_table() -> str:
    """One line of Markdown for each option.

    >>> print(options_table().splitlines()[2])
    | `max_workers` | from the profile; 256 calls that wait | the most threads, processes or calls at once |
    """
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name, row in ROWS.items():
        usual = row.usual or ("none" if row.default in (None, ()) else f"`{_spelt(row.default)}`")
        lines.append(f"| `{name}` | {usual} | {row.text} |")
        if name == "max_workers":
            lines.append(f"| `n_jobs` | | {N_JOBS} |")
    return "\n".join(lines)


def _spelt(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
