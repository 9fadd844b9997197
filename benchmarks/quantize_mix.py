"""``python -m benchmarks.quantize_mix``: types chosen tensor by tensor against llama.cpp's recipes of the same size.

For each recipe the file that ``sage quantize MODEL RECIPE --imatrix TEXT`` makes is compared with the one that
``--target-size`` makes within the same bytes, by the divergence from the source on a text that neither the
importance matrix nor the choice has seen. Two models: sage-pico, and a random one of Qwen2.5-0.5B's shape.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from gguf import GGMLQuantizationType

from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.llama.model import open_model
from quant.importance import compute
from quant.measure import Measure, mean
from quant.mix import Goal, Mix, find_mixes
from quant.quality import QualityReport, compare
from quant.quantize import quantize
from quant.texts import Text, bundled
from sage_cli import assets
from tests.gguf_samples import Tensors, write_model

RECIPES = ("Q2_K", "Q3_K_M", "IQ4_XS", "Q4_K_M", "Q5_K_M")
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-0.5b": {
        "n_layer": 24,
        "n_embd": 896,
        "n_head": 14,
        "n_head_kv": 2,
        "ffn": 4864,
        "vocab": 151_936,
    },
    "small": {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_head_kv": 2, "ffn": 512, "vocab": 1024},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Make both files for every recipe, measure, print and record."""
    arguments = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        source = arguments.model or assets.DEFAULT_MODEL
        if arguments.random:
            source = folder / f"{arguments.random}.gguf"
            write_random(source, SHAPES[arguments.random])
        results = measure(source, folder, arguments)
    variant = arguments.random or ("" if arguments.model is None else arguments.model.stem)
    record = write_record("quantize_mix", results, variant=variant, directory=arguments.records)
    print(f"\nrecord: {record}")


def write_random(path: Path, shape: Mapping[str, Any]) -> None:
    """A model of random weights, in F16: of 0.02, as before training, and with an output norm of 5, so that some tokens
    are likelier than others.
    """

    def scaled(tensors: Tensors) -> None:
        for tensor in tensors.values():
            if tensor.ndim > 1:
                tensor *= 0.2
        tensors["output_norm.weight"][:] = 5.0

    write_model(path, **shape, weight_type=GGMLQuantizationType.F16, edit_tensors=scaled)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantize_mix", description=__doc__)
    parser.add_argument("--model", type=Path, help="GGUF to quantize (default: the embedded sage-pico)")
    parser.add_argument("--random", choices=sorted(SHAPES), help="a model of random weights instead")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="TYPE")
    parser.add_argument("--tokens", type=int, default=2048, help="of each of the two texts")
    parser.add_argument("--measurements", type=int, default=160)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--folder", type=Path, help="for files several times as large as the model")
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    return parser


def measure(source: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of every recipe, by its name."""
    seen, unseen = halves(source, most_tokens=arguments.tokens)
    importance = compute(source, seen, threads=arguments.threads)
    common = {"threads": arguments.threads, "allow_requantize": True, "importance": importance}
    uniform = {
        name: quantize(source, folder / f"{name}.gguf", type_name=name, **common)
        for name in arguments.recipes
    }
    began = perf_counter()
    mixes = find_mixes(
        source,
        [Goal(most_bytes=report.after_bytes) for report in uniform.values()],
        text=seen,
        measurements=arguments.measurements,
        folder=folder,
        **common,
    )
    seconds = perf_counter() - began
    rows = {}
    for name, mix in zip(uniform, mixes, strict=True):
        chosen = folder / "mix.gguf"
        made = quantize(source, chosen, type_name=mix.base_type, overrides=mix.overrides, **common)
        ours = compare(source, chosen, text=unseen, threads=arguments.threads)
        theirs = compare(source, folder / f"{name}.gguf", text=unseen, threads=arguments.threads)
        rows[name] = _figures(uniform[name].after_bytes, made.after_bytes, theirs, ours, mix)
    _print(rows)
    return {
        "source": source.name,
        "tokens": {"calibration": arguments.tokens, "unseen": ours.tokens},
        "measurements": arguments.measurements,
        "seconds": round(seconds, 1),
        "recipes": rows,
    }


def halves(source: Path, *, most_tokens: int) -> tuple[Text, Text]:
    """The bundled text in two: every other chain or paragraph."""
    with open_model(source) as model:
        whole = bundled(model)
    if whole.chains:
        parts = [replace(whole, chains=whole.chains[start::2]) for start in (0, 1)]
    else:
        paragraphs = whole.parts[0].split("\n\n")
        parts = [replace(whole, parts=("\n\n".join(paragraphs[start::2]),)) for start in (0, 1)]
    return replace(parts[0], most_tokens=most_tokens), replace(parts[1], most_tokens=most_tokens)


def _figures(
    recipe_bytes: int, mix_bytes: int, theirs: QualityReport, ours: QualityReport, mix: Mix
) -> dict[str, Any]:
    return {
        "bytes": {"recipe": recipe_bytes, "mix": mix_bytes},
        "kl": {"recipe": vars(theirs.kl_mean), "mix": vars(ours.kl_mean)},
        "kl_difference": _interval(
            mean([mine - recipe for mine, recipe in zip(ours.kl_windows, theirs.kl_windows, strict=True)])
        ),
        "kl_99": {"recipe": vars(theirs.kl_99), "mix": vars(ours.kl_99)},
        "same_top": {"recipe": vars(theirs.same_top), "mix": vars(ours.same_top)},
        "calibration_kl": {"predicted": mix.predicted_kl, "measured": vars(mix.kl)},
        "fell_back_to": mix.recipe or None,
        "groups": {group: type_name for group, type_name, _ in mix.groups},
    }


def _interval(measured: Measure) -> dict[str, float]:
    """The mix's divergence less the recipe's on the same windows, with a 95 % interval."""
    half = 1.96 * (measured.error or 0.0)
    return {"value": measured.value, "low": measured.value - half, "high": measured.value + half}


def _print(rows: dict[str, Any]) -> None:
    table = [
        [
            name,
            f"{row['bytes']['recipe'] / 1e6:.2f}",
            f"{row['bytes']['mix'] / 1e6:.2f}",
            *(
                f"{row['kl'][which]['value']:.5f} ± {row['kl'][which]['error'] or 0:.5f}"
                for which in ("recipe", "mix")
            ),
            f"{row['kl']['mix']['value'] / row['kl']['recipe']['value']:.2f}",
            "{value:.5f} [{low:.5f}, {high:.5f}]".format(**row["kl_difference"]),
        ]
        for name, row in rows.items()
    ]
    print_table(
        "Divergence from the source on unseen text, nats per token",
        ["recipe", "MB", "mix, MB", "KL of the recipe", "KL of the mix", "ratio", "difference"],
        table,
    )


if __name__ == "__main__":
    main()
