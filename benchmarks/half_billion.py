"""``python -m benchmarks.half_billion FILE``: a model of Qwen2.5-0.5B's shape with random weights, in F16.

``sage quantize FILE Q4_K_M -o half-q4.gguf`` and ``... Q8_0 -o half-q8.gguf`` make of it what ``benchmarks.speed`` is run
on: what llama.cpp computes takes as long whatever the weights are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gguf import GGMLQuantizationType

from benchmarks.quantize_mix import SHAPES
from tests.gguf_samples import write_model


def main() -> None:
    """Write the file, of one gigabyte."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_billion", description=__doc__)
    parser.add_argument("file", type=Path)
    write_model(
        parser.parse_args().file,
        **SHAPES["qwen2.5-0.5b"],
        context=32_768,
        weight_type=GGMLQuantizationType.F16,
    )


if __name__ == "__main__":
    main()
