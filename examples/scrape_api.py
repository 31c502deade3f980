"""Call an HTTP API many times: the waiting overlaps, whatever the number of cores.

    python examples/scrape_api.py [URL] [--small]

URL holds one `{}` for the item's number. Without one, a real HTTP service (httpbin) is started on
loopback: pip install 'autoexec-futures[demo]'
"""

import sys
import time
from contextlib import contextmanager

import requests

import autoexec
from autoexec.demo.service import httpbin_service


def fetch(url):
    """Return the size of one answer; an HTTP error is raised in its item's place."""
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return len(answer.content)


@contextmanager
def address(arguments):
    """Give the caller's URL pattern, or that of a service that lives as long as the block."""
    if arguments:
        yield arguments[0]
    else:
        with httpbin_service() as base:
            yield base + "/delay/0.05?item={}"


def main(arguments, small=False):
    with address(arguments) as pattern:
        urls = [pattern.format(item) for item in range(40 if small else 400)]
        start = time.perf_counter()
        sizes = autoexec.map(fetch, urls, progress=not small)
        total = sum(sizes)
        seconds = time.perf_counter() - start
    print(f"{len(urls)} answers, {total} bytes in {seconds:.2f} s")
    print(sizes.plan)


# No `if __name__ == "__main__"` is needed: autoexec's workers never run this file again.
main([given for given in sys.argv[1:] if given != "--small"], small="--small" in sys.argv)
