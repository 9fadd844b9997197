"""Measurements, each a command that prints a table and writes its record to ``benchmarks/records``."""
