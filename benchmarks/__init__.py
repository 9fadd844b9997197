"""Measurements, each a command that prints a table and writes its record to ``benchmarks/records``."""

import os

# As the command line and ``mch_runtime.llama.abi`` do, which may come too late here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
