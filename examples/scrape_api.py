"""Read a paginated JSON API into a CSV file: politely, in spite of failures, and no page twice.

    python examples/scrape_api.py [FOLDER] [--small]

Run it twice with a FOLDER: the second run takes every page from the journal that the first one left there.
Without one, it does that by itself. The API is served on loopback: pip install 'autoexec-futures[demo]'
"""

import csv
import sys
import tempfile
import time
from pathlib import Path

import requests

import autoexec
from autoexec.demo.service import httpbin_service

session = autoexec.per_worker(requests.Session)  # each worker has its own, and its connections stay open


def fetch(url):
    """Return the articles of one page; whatever goes wrong is raised."""
    answer = session().get(url, timeout=10)
    answer.raise_for_status()
    return answer.json()["articles"]


def scrape(api, folder, small):
    """Write the articles of all pages to articles.csv, in the order of the pages."""
    pages = 10 if small else requests.get(api, timeout=10).json()["pages"]
    results = autoexec.map(
        fetch,
        [f"{api}?page={page}" for page in range(1, pages + 1)],
        rate="60/s",  # as the service's owners ask
        retries=4,  # after lost connections, timeouts, and the answers 429, 502, 503 and 504
        journal=folder / "articles.journal",  # keeps every finished page, whatever ends the program
        key=lambda url: url.removeprefix(api),  # only because this service moves to another port each time
        codec="json",
        progress=not small,
    )
    with (folder / "articles.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "title", "words"])
        writer.writeheader()
        for articles in results:
            writer.writerows(articles)
    return results


def report(results, seconds):
    stats = results.stats()
    print(f"{stats.items} pages in {seconds:.2f} s: {stats.calls} calls, {stats.retries} of them retries")
    for host in stats.hosts:
        print(f"  {host.host}: {host.refusals} refused, {host.waited_s:.2f} s of waiting for the rate")
    for share, latency in stats.latency_s[:2]:
        print(f"  {share:.0%} of the calls took less than {1000 * latency:.0f} ms")
    for failure in stats.failures:
        print(f"  {failure.count} failed: {failure.kind}")


def main(folder, small=False, runs=1):
    with httpbin_service() as base:
        for _ in range(runs):
            start = time.perf_counter()
            results = scrape(f"{base}/api/articles", folder, small)
            report(results, time.perf_counter() - start)
    lines = (folder / "articles.csv").read_text(encoding="utf-8").splitlines()
    print(f"{len(lines) - 1} articles in articles.csv, the last one {lines[-1]}")


# No `if __name__ == "__main__"` is needed: autoexec's workers never run this file again.
given = [argument for argument in sys.argv[1:] if argument != "--small"]
if given:
    main(Path(given[0]), small="--small" in sys.argv)
else:
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), small="--small" in sys.argv, runs=2)
