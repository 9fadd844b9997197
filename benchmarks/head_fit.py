"""``python -m benchmarks.head_fit``: does ``sage head fit`` make a head as good as the shipped one?

sage-pico without its head is quantized to Q4_K_M, and the command is given training questions with their answers and
nothing else. Then, unless left out, once more with steps that the exact checkers have labelled. These heads and the shipped
one judge the same chains to test problems, decoded by the Q4_K_M file and by the Q8_0 file that ships. At last
the command is given a model of random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines import Baselines
from benchmarks.evaluation import DEFAULT_SEED, draw
from benchmarks.head_quality import rankings_of
from benchmarks.head_scores import HEAD, LOGPROB_MEAN, Scored, score_chains
from benchmarks.pico import chains_of, shipped_model
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import decode_head, detach
from mch_runtime.head.spec import Head
from mch_runtime.strategies.selection import answer_key
from quant.quantize import quantize
from sage_cli import assets
from training.curriculum import SERVED, phase_problems
from training.families import FAMILIES
from training.problems import Problem
from training.traces import MAX_TOKENS

BY_ROLLOUTS, BY_DATA = "fitted, steps by rollouts", "fitted, steps by the checkers"
QUESTIONS = 6000
MEASURES = ("valid, per step", "answer, per chain")
COMMAND = ("head", "fit", "MODEL", "--data", "FILE", "-o", "HEAD", "-n", str(MAX_TOKENS))


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, measure, print and record. What is in the work folder already is taken over."""
    arguments = _arguments(argv)
    if arguments.work is None:
        with tempfile.TemporaryDirectory() as folder:
            _run(Path(folder), arguments)
    else:
        arguments.work.mkdir(parents=True, exist_ok=True)
        _run(arguments.work, arguments)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_fit", description=__doc__)
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="of the training split, to fit on")
    parser.add_argument("--rollouts-only", action="store_true", help="leave the checkers' labels out")
    parser.add_argument("--modes", default="none", help="as sage head fit takes them")
    parser.add_argument("--problems", type=int, default=1500, help="of the test split, to measure on")
    parser.add_argument("--chains", type=int, default=4, help="of each test problem")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--work", type=Path, help="keep everything there, and go on with it")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    return parser.parse_args(argv)


def _run(folder: Path, arguments: argparse.Namespace) -> None:
    model = _plain_model(folder)
    problems = training_problems(arguments.questions)
    rollouts = folder / "rollouts"
    heads = {BY_ROLLOUTS: _fit(model, rollouts, _questions(problems), arguments.modes)}
    if not arguments.rollouts_only:
        labelled = _labelled(problems, rollouts)
        heads[BY_DATA] = _fit(model, folder / "checkers", labelled, arguments.modes)
    results: dict[str, Any] = {
        "questions": arguments.questions,
        "fitted by": " ".join(("sage", *COMMAND, "--modes", arguments.modes)),
        "fits": {name: dict(head.spec.provenance) for name, head in heads.items()},
        "problems": arguments.problems,
        "chains": arguments.chains,
    }
    for name, path in (("Q4_K_M", model), ("Q8_0", assets.DEFAULT_MODEL)):
        results[name] = _compared(name, path, heads, arguments)
    results["random weights"] = _random(folder, _questions(problems[:300]))
    variant = "" if arguments.questions == QUESTIONS else str(arguments.questions)
    record = write_record("head_fit", results, variant=variant, directory=arguments.records)
    print(f"\nrecord: {record}")


def _plain_model(folder: Path) -> Path:
    """The embedded model in Q4_K_M, without a head."""
    plain, model = folder / "sage-pico-plain.gguf", folder / "sage-pico-q4_k_m.gguf"
    if not model.exists():
        detach(assets.DEFAULT_MODEL, plain)
        quantize(plain, model, type_name="Q4_K_M", allow_requantize=True)
    return model


def training_problems(count: int) -> list[Problem]:
    """The first ``count`` of the training split in the mixture the shipped head was fitted on, none twice."""
    stream = phase_problems(SERVED[-1], seed="head-fit", split_name="train")
    found: dict[str, Problem] = {}
    while len(found) < count:
        for problem in islice(stream, count - len(found)):
            found.setdefault(problem.question, problem)
    return list(found.values())


def _questions(problems: Sequence[Problem]) -> Iterator[dict[str, Any]]:
    return ({"question": problem.question, "answer": problem.answer} for problem in problems)


def _labelled(problems: Sequence[Problem], fitted: Path) -> Iterator[dict[str, Any]]:
    """The same questions with the very chains that were sampled before, labelled by the exact checkers."""
    by_key = {(problem.question, answer_key(problem.answer)): problem for problem in problems}
    questions = {_sha256(problem): problem for problem in by_key.values()}
    with (fitted / "work" / "chains.jsonl").open() as lines:
        next(lines)
        for line in map(json.loads, lines):
            problem = questions[line["question"]]
            texts = [chain["texts"] for chain in line["chains"] if chain["texts"]]
            yield {
                "question": problem.question,
                "answer": problem.answer,
                "chains": [{"steps": _judged(problem, steps)} for steps in texts],
            }


def _sha256(problem: Problem) -> str:
    from mch_runtime.evaluation.formats import FORMATS

    return FORMATS["free"].read({"question": problem.question, "answer": problem.answer}, 0).sha256


def _judged(problem: Problem, texts: Sequence[str]) -> list[dict[str, Any]]:
    labels = FAMILIES[problem.family].judge(problem, texts)
    return [{"text": text, "valid": label.valid} for text, label in zip(texts, labels.steps, strict=True)]


def _fit(model: Path, folder: Path, records: Iterator[dict[str, Any]], modes: str) -> Head:
    """What ``sage head fit`` makes, run as a user would; taken over if it is there."""
    out, data = folder / "head.gguf", folder / "questions.jsonl"
    if not out.exists():
        folder.mkdir(exist_ok=True)
        data.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        code, _ = _sage(model, data, out, "--work", str(folder / "work"), "--modes", modes)
        if code:
            raise SystemExit(f"sage head fit: exit code {code}")
    return decode_head(out.read_bytes())


def _sage(model: Path, data: Path, out: Path, *more: str) -> tuple[int, str]:
    """Exit code and standard error."""
    names = {"MODEL": str(model), "FILE": str(data), "HEAD": str(out)}
    words = [names.get(word, word) for word in COMMAND]
    command = [sys.executable, "-m", "sage_cli", *words, "--threads", "1", *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        print(line, end="", flush=True)
        said.append(line)
    return process.wait(), "".join(said)


def _compared(
    name: str, model: Path, heads: Mapping[str, Head], arguments: argparse.Namespace
) -> dict[str, Any]:
    """All heads on the same chains of one file; the shipped one's lead over the others, paired."""
    with shipped_model() as (_, shipped):
        pass
    with _session(model) as session:
        stream = chains_of(
            session,
            draw("mixed", count=arguments.problems, seed=arguments.seed),
            count=arguments.problems,
            per_problem=arguments.chains,
            temperature=1.0,
            seed=arguments.seed,
        )
        scored = score_chains(shipped, Baselines(heads=dict(heads)), stream)
    return _table(name, scored, heads, arguments.seed)


def _session(model: Path) -> Any:
    from benchmarks.pico import bare_model

    return bare_model(model)


def _table(name: str, scored: Scored, heads: Mapping[str, Head], seed: int) -> dict[str, Any]:
    rankings = rankings_of(scored, np.random.default_rng(seed))
    rows = [HEAD, *heads, LOGPROB_MEAN]
    print_table(
        f"AUROC on {len(scored.answer):,} chains of {name}, 95 % intervals over problems",
        ["detector", *MEASURES],
        [[row, *(str(rankings[m].estimate(row)) for m in MEASURES)] for row in rows],
    )
    differences = {
        f"{row}, {measure}": rankings[measure].difference(row, HEAD)[0].plain()
        for row in heads
        for measure in MEASURES
    }
    print_table(
        "Against the shipped head, paired",
        ["head and measure", "difference"],
        [[row, f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"] for row, d in differences.items()],
    )
    return {
        "n_chains": len(scored.answer),
        "n_steps": int((~scored.is_answer).sum()),
        "right": round(float(scored.answer.mean()), 4),
        "auroc": {m: {row: rankings[m].estimate(row).plain() for row in rows} for m in MEASURES},
        "against the shipped head": differences,
    }


def _random(folder: Path, records: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """What the command says to a model that knows nothing."""
    model, data, out = (folder / name for name in ("random.gguf", "random.jsonl", "random.mch.gguf"))
    randomize(folder / "sage-pico-plain.gguf", model)
    data.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    code, said = _sage(model, data, out, "--modes", "none", "-n", "64")  # it would never stop by itself
    shutil.rmtree(f"{out}.work", ignore_errors=True)
    sentences = [line for line in said.splitlines() if line.startswith("sage: ")]
    return {"exit_code": code, "said": sentences, "written": out.exists()}


def randomize(source: Path, target: Path, *, seed: int = 0) -> None:
    """The same model with random weights in its matrices."""
    from gguf import GGMLQuantizationType, quants

    rng = np.random.default_rng(seed)
    shutil.copyfile(source, target)
    with open_checked(source) as (_, gguf), target.open("r+b") as file:
        for tensor in gguf.tensors:
            if len(tensor.shape) < 2:
                continue
            values = rng.normal(0, 0.05, tensor.shape).astype(np.float32)
            file.seek(tensor.offset)
            file.write(quants.quantize(values, GGMLQuantizationType[tensor.type]).tobytes())
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
