"""Use autoexec where a `concurrent.futures.Executor` is expected, asyncio included.

    python examples/as_executor.py [--small]

Needs nothing beyond autoexec itself.
"""

import asyncio
import hashlib
import sys
from concurrent.futures import as_completed

import autoexec


def digest(size):
    """Hash a block of zeros: C code that lets go of the GIL."""
    return hashlib.sha256(bytes(size)).hexdigest()


def divisors(number):
    """Count divisors one by one: Python code that holds the GIL."""
    return sum(number % candidate == 0 for candidate in range(1, number + 1))


async def from_asyncio(executor, numbers):
    """Await work that would block the event loop."""
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*(loop.run_in_executor(executor, divisors, number) for number in numbers))


def main(small=False):
    sizes = [100_000 + step for step in range(20 if small else 2_000)]
    numbers = range(20_000, 20_000 + (20 if small else 2_000))

    with autoexec.Executor() as executor:
        # One executor for unlike functions: each is profiled and routed on its own.
        futures = {executor.submit(digest, size): size for size in sizes}
        for future in as_completed(futures):
            futures[future] = future.result()[:8]
        print(f"{len(futures)} digests, the last one {list(futures.values())[-1]}")

        counts = asyncio.run(from_asyncio(executor, numbers))
        print(f"{max(counts)} divisors at most in {len(counts)} numbers")

        print(f"again, in order: {list(executor.map(divisors, numbers)) == counts}")


main(small="--small" in sys.argv)
