"""autoexec at work on real input: `python -m autoexec demo`.

The packages that the demo needs come with `pip install 'autoexec-futures[demo]'`.
"""

from __future__ import annotations

__all__: list[str] = []
