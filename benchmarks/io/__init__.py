"""Waiting work: simulated services and five workloads, by fixed counts, peers and autoexec."""
