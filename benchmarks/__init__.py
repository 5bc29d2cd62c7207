"""Measurements against named peers; results as JSON in ``results/``.

harness · texts · contenders · rates; then one module a benchmark. Benchmarks are not tests: they
time things, and what they say holds for the machine that is described in each result.
"""
