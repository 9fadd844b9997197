"""Converting takes memory for a few blocks, not for the model."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# VmHWM begins anew with the program; getrusage would begin with the largest size of the test's own process.
CHILD = """
import re, sys
from pathlib import Path
from convert.to_gguf import convert
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
convert(Path(sys.argv[1]), Path(sys.argv[2]), outtype="q8_0")
print(peak() - before)
"""


def grow(folder: Path, *, ff: int) -> int:
    """Give a checkpoint a large bfloat16 feed-forward part; the size of one of its matrices in bytes."""
    config = json.loads((folder / "config.json").read_text()) | {"intermediate_size": ff}
    (folder / "config.json").write_text(json.dumps(config))
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header.pop("__metadata__", None)
    size = ff * config["hidden_size"] * 2
    values = np.random.default_rng(0).integers(0x3C00, 0x3E00, size // 2, dtype=np.uint16).tobytes()
    offset, parts = 0, []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        parts.append(values if ".mlp." in name else data[begin:end])
        if ".mlp." in name:
            entry |= {"dtype": "BF16", "shape": [ff if side == 96 else side for side in entry["shape"]]}
        entry["data_offsets"] = [offset, offset + len(parts[-1])]
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.writelines([struct.pack("<Q", len(text)), text, *parts])
    return size


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
def test_peak_memory_is_not_the_models(tiny: Path, tmp_path: Path) -> None:
    largest = grow(tiny, ff=540_672)
    assert (tiny / "model.safetensors").stat().st_size > 200_000_000
    command = [sys.executable, "-c", CHILD, str(tiny), str(tmp_path / "out.gguf")]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = int(child.stdout) * 1024
    print(f"{peak / 1e6:.0f} MB above the imports, largest tensor {largest / 1e6:.0f} MB")
    assert peak < largest
