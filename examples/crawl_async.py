"""Call an API and crawl pages with an async client: from ordinary code, and inside an event loop.

    python examples/crawl_async.py [--small]

API and pages are served on loopback: pip install 'autoexec-futures[demo]'
"""

import asyncio
import re
import sys
import time

import httpx

import autoexec
from autoexec.demo.service import httpbin_service

# An event loop is one worker: all its calls share this client, whose pool is as large as the concurrency.
client = autoexec.per_worker(httpx.AsyncClient, timeout=10)


async def titles(url):
    """Return the titles on one page of the API."""
    answer = await client().get(url)
    answer.raise_for_status()
    return [article["title"] for article in answer.json()["articles"]]


async def links(url):
    """Return the links on one page."""
    answer = await client().get(url)
    answer.raise_for_status()
    return [str(answer.url.join(found)) for found in re.findall(r"href='([^']+)'", answer.text)]


def collect(base, pages):
    """From ordinary code: `map` runs the calls in an event loop of its own."""
    urls = [f"{base}/api/articles?page={page}" for page in range(1, pages + 1)]
    results = autoexec.map(titles, urls, rate="90/s", retries=2)
    found = [title for page in results for title in page]
    print(results.plan)
    return found


async def crawl(start, most):
    """Inside an event loop: `amap` runs the calls in that loop; here all pages of one level at once."""
    seen, level = {start}, [start]
    while level:
        found = [link async for page in autoexec.amap(links, level, retries=2) for link in page]
        level = [link for link in dict.fromkeys(found) if link not in seen][: most - len(seen)]
        seen.update(level)
    return seen


def main(small=False):
    with httpbin_service() as base:
        start = time.perf_counter()
        found = collect(base, 10 if small else 40)
        print(f"{len(found)} titles in {time.perf_counter() - start:.2f} s, the last one {found[-1]!r}")

        start = time.perf_counter()
        seen = asyncio.run(crawl(f"{base}/links/100/0", 20 if small else 100))
        print(f"crawled {len(seen)} pages in {time.perf_counter() - start:.2f} s")


main(small="--small" in sys.argv)
