"""Measurements: one question a file. `python -m bench.NAME --help` says how to run each."""
