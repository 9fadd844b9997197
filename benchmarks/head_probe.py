"""``python -m benchmarks.head_probe``: how far quantization moves the state that ties a head to its base.

The shipped model is quantized again to each type, and the hidden state after the probe's tokens is
compared with the one stored in the head, which is that of the F32 base.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.record import print_table, write_record
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import find_head, probe_cosine
from mch_runtime.head.spec import Probe
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.loading import hidden_after
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from quant.quantize import quantize
from sage_cli import assets

TYPES = ("Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")


def main() -> None:
    """Measure, print and record."""
    model = assets.DEFAULT_MODEL
    with open_checked(model) as (fd, gguf):
        found = find_head(model, fd, gguf, os.fstat(fd).st_size)
    assert found is not None
    assert found.head is not None
    probe = found.head.spec.probe
    cosines = {"Q8_0": _cosine(model, probe)}
    with tempfile.TemporaryDirectory() as folder:
        for name in TYPES:
            smaller = Path(folder) / f"{name}.gguf"
            quantize(model, smaller, type_name=name, allow_requantize=True)
            cosines[name] = _cosine(smaller, probe)
    rows = [[name, f"{value:.5f}"] for name, value in cosines.items()]
    print_table("Cosine to the F32 base's state after the probe", ["type", "cosine"], rows)
    results = {"threshold": round(probe.cosine, 4), "n_tokens": len(probe.token_ids)}
    results |= {"cosine": {name: round(value, 5) for name, value in cosines.items()}}
    print(f"\nrecord: {write_record('head_probe', results)}")


def _cosine(path: Path, probe: Probe) -> float:
    options = EngineOptions(model=path)
    with open_model(path) as model, open_session(model, options, Interrupt()) as session:
        return probe_cosine(probe, hidden_after(session, probe.token_ids))


if __name__ == "__main__":
    main()
