"""``python -m benchmarks.quality_text``: the chains that sage-pico's quantizations are measured on.

Writes ``quant/text/sage-pico.jsonl``: chains that the embedded model draws for problems of the validation
split, labelled by the exact checker. A share of them is wrong, so that a head's AUROC means something.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import quant
from benchmarks.pico import bare_model, chains_of
from training.curriculum import ALL_FAMILIES, EASY_STEPS, FLAWED, STANDARD_STEPS, Mixture, problems

TEXT = Path(quant.__file__).parent / "text" / "sage-pico.jsonl"
MIXTURES = (
    Mixture(ALL_FAMILIES, steps=EASY_STEPS, kinds=FLAWED),
    Mixture(ALL_FAMILIES, level="standard", steps=STANDARD_STEPS, kinds=FLAWED),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, label and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_text", description=__doc__)
    parser.add_argument("--model", type=Path, help="default: the embedded one")
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("-o", "--output", type=Path, default=TEXT)
    arguments = parser.parse_args(argv)
    each = arguments.count // len(MIXTURES)
    chosen = [
        problem
        for mixture in MIXTURES
        for problem in islice(problems(mixture, split_name="validation", seed=arguments.seed), each)
    ]
    with bare_model(arguments.model) as session:
        sampled = list(chains_of(session, chosen, count=len(chosen), temperature=1.0, seed=arguments.seed))
    # What states no answer cannot be judged as a chain.
    lines = [
        {"question": one.problem.question, "text": one.chain.text.strip(), "right": bool(one.labels.answer)}
        for one in sampled
        if "Answer:" in one.chain.text
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    arguments.output.write_text(text, encoding="utf-8")
    right = sum(line["right"] for line in lines)
    print(f"{arguments.output}: {len(lines)} chains, {right} right, {len(text):,} bytes")


if __name__ == "__main__":
    main()
