"""Fifteen workloads, ten ways to run each, every run in a fresh process: `python -m benchmarks --help`."""
