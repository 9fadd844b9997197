"""Measurements, each a command that prints a table and writes its record to ``benchmarks/records``."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
