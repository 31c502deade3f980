"""Download many files into a folder: what fails is tried again, and what stays lost stops nothing.

    python examples/download_files.py [FOLDER] [--small]

Without a FOLDER, the files go to a temporary one. They are served on loopback by a service that answers 503
to some first requests: pip install 'autoexec-futures[demo]'
"""

import sys
import tempfile
import time
from pathlib import Path

import requests

import autoexec
from autoexec.demo.service import httpbin_service

session = autoexec.per_worker(requests.Session)


def download(url, folder):
    """Stream one file to the folder under its own name; return its size."""
    path = folder / url.rpartition("/")[2]
    part = path.with_name(path.name + ".part")  # a file under its final name is complete
    with session().get(url, stream=True, timeout=10) as answer, part.open("wb") as file:
        answer.raise_for_status()
        for block in answer.iter_content(1 << 16):
            file.write(block)
    part.replace(path)
    return path.stat().st_size


def main(folder, small=False):
    with httpbin_service() as base:
        urls = [f"{base}/files/{number:03}.bin" for number in range(24 if small else 200)]
        urls.append(f"{base}/status/404")  # there is no such file: it is not asked for again
        start = time.perf_counter()
        results = autoexec.starmap(
            download,
            [(url, folder) for url in urls],
            retries=3,
            item_timeout=30,  # also ends what trickles in so slowly that `timeout=10` never applies
            on_error="return",
            progress=not small,
        )
        failed = 0
        for url, outcome in zip(urls, results, strict=True):
            if isinstance(outcome, Exception):
                failed += 1
                print(f"{url.removeprefix(base)}: {outcome}")
    stats = results.stats()
    done = [path for path in folder.iterdir() if path.suffix == ".bin"]
    size = sum(path.stat().st_size for path in done) / 1e6
    print(f"{len(done)} files, {size:.1f} MB in {time.perf_counter() - start:.2f} s; {failed} failed")
    print(f"{stats.calls} calls, {stats.retries} of them retries")
    print(results.plan)


given = [argument for argument in sys.argv[1:] if argument != "--small"]
if given:
    main(Path(given[0]), small="--small" in sys.argv)
else:
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), small="--small" in sys.argv)
