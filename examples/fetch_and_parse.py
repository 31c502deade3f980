"""Fetch pages and parse them in Python: processes of threads, for the wait and for the GIL.

    python examples/fetch_and_parse.py [--small]

One thread waits most of the time. Many threads queue for the GIL as soon as their pages are there, and as
many processes would each take the memory of one. The plan says how many processes of how many threads were
found to be enough. Needs nothing beyond autoexec itself; `time.sleep` stands for the server.
"""

import sys
import time
from collections import Counter
from html.parser import HTMLParser

import autoexec

WORDS = ["river", "stone", "cloud", "meadow", "harbour", "lantern", "orchard"]


class Emphasis(HTMLParser):
    """Counts the words that a page has in bold."""

    def __init__(self):
        super().__init__()
        self.bold = False
        self.counts = Counter()

    def handle_starttag(self, tag, attrs):
        """Begin an element."""
        self.bold = tag == "b"

    def handle_data(self, data):
        """Read the text of an element."""
        if self.bold:
            self.counts[data] += 1

    def handle_endtag(self, tag):
        """End an element."""
        self.bold = False


def fetch(number):
    """Return a page, 40 ms after it was asked for."""
    time.sleep(0.04)
    lines = (f"<p>a <b>{WORDS[(number + line) % len(WORDS)]}</b> by the way</p>" for line in range(900))
    return f"<html><body>{''.join(lines)}</body></html>"


def emphasis(number):
    """Fetch a page and count its bold words."""
    page = Emphasis()
    page.feed(fetch(number))
    return page.counts


def main(small=False):
    numbers = range(60 if small else 400)
    start = time.perf_counter()
    results = autoexec.map(emphasis, numbers)
    counts = sum(results, Counter())
    print(f"{counts.total()} bold words in {len(numbers)} pages, in {time.perf_counter() - start:.2f} s")
    print(", ".join(f"{count} {word}" for word, count in counts.most_common(3)))
    print(results.plan)


main(small="--small" in sys.argv)
