"""``python -m training STAGE``: one command per stage of making sage-pico."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from training.curriculum import CURRICULA
from training.families import FAMILIES
from training.problems import Kind, Level

if TYPE_CHECKING:
    from mch_runtime.session import Session

DEFAULT_DIR = Path("build/pico")
ROWS = 64


def main(argv: list[str] | None = None) -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")

    def stage(name: str, text: str) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--dir", type=Path, default=DEFAULT_DIR, help="working folder (default: %(default)s)"
        )
        sub.add_argument("--seed", type=int, default=0)
        return sub

    data = stage("data", "tokenizer and tokenized corpus, from the training split")
    data.add_argument("--curriculum", default="first-cut", choices=tuple(CURRICULA))
    data.add_argument("--tokens", type=int, default=13_000_000)
    data.add_argument("--vocab-size", type=int, default=768, help="at most; the corpus may fill less")
    show = stage("show", "print problems with their solutions")
    show.add_argument("--count", type=int, default=5)
    show.add_argument("--family", default="quantities", choices=tuple(FAMILIES))
    show.add_argument("--level", default="easy", choices=get_args(Level))
    show.add_argument("--kind", default="answerable", choices=get_args(Kind))
    base = stage("pretrain", "the base model; goes on from its checkpoint if there is one")
    base.add_argument("--processes", type=int, default=2, help="CPU only: one thread each")
    stage("export", "the checkpoint folder in Hugging Face's layout, and its F32 GGUF")
    check = stage("evaluate", "greedy accuracy on validation problems, by family, kind and steps")
    check.add_argument("--curriculum", default="first-cut", choices=tuple(CURRICULA))
    check.add_argument("--count", type=int, default=1000)
    traces = stage("traces", "chains sampled through llama.cpp and checked step by step")
    traces.add_argument("--problems", type=int, default=4000, help="for fitting; a quarter more is held out")
    traces.add_argument("--chains", type=int, default=4, help="of each problem")
    traces.add_argument("--temperature", type=float, default=1.0)
    head = stage("head", "the meta-cognitive head, fitted and calibrated on the traces")
    head.add_argument("--width", type=int, default=128)
    package = stage("package", "the shipped Q8_0 GGUF with its head")
    package.add_argument("--out", type=Path, default=Path("sage_cli/assets/sage-pico.gguf"))
    arguments = parser.parse_args(argv)
    COMMANDS[arguments.stage](arguments)


def _data(arguments: argparse.Namespace) -> None:
    from training.corpus import build_corpus, describe, train_tokenizer
    from training.dialect import Mix

    arguments.dir.mkdir(parents=True, exist_ok=True)
    phases, mix = CURRICULA[arguments.curriculum], Mix()
    tokenizer = train_tokenizer(
        phases, seed=arguments.seed, vocab_size=arguments.vocab_size, documents=20_000
    )
    tokenizer.save(str(arguments.dir / "tokenizer.json"))
    corpus = build_corpus(phases, tokenizer, seed=arguments.seed, tokens=arguments.tokens, mix=mix)
    corpus.save(arguments.dir / "corpus.npz")
    (arguments.dir / "corpus.json").write_text(describe(phases, mix, seed=arguments.seed))
    print(
        f"{len(corpus):,} examples, {len(corpus.token_ids):,} tokens, vocabulary {tokenizer.get_vocab_size()}"
    )


def _show(arguments: argparse.Namespace) -> None:
    from itertools import islice

    from training.curriculum import Mixture, problems

    mixture = Mixture((arguments.family,), level=arguments.level, kinds={arguments.kind: 1.0})
    stream = problems(mixture, split_name="train", seed=arguments.seed)
    for problem in islice(stream, arguments.count):
        print(problem.question, problem.solution, sep="\n", end="\n\n")


def _pretrain(arguments: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    from training.model import ModelConfig
    from training.pretrain import PretrainConfig, parameter_count, pretrain

    vocabulary = Tokenizer.from_file(str(arguments.dir / "tokenizer.json")).get_vocab_size()
    model = ModelConfig(vocab_size=vocabulary)
    print(f"{parameter_count(model):,} parameters")
    config = PretrainConfig(seed=arguments.seed, processes=arguments.processes)
    pretrain(arguments.dir / "corpus.npz", arguments.dir / "base", model, config)


def _export(arguments: argparse.Namespace) -> None:
    from convert.to_gguf import convert
    from training.export import export

    folder = arguments.dir / "sage-pico"
    export(arguments.dir / "base" / "checkpoint.pt", arguments.dir / "tokenizer.json", folder)
    (folder / "head.safetensors").unlink(missing_ok=True)
    convert(folder, arguments.dir / "base-f32.gguf", outtype="f32")
    print(f"{folder} and {arguments.dir / 'base-f32.gguf'}")


@contextmanager
def _base_session(folder: Path) -> Iterator[Session]:
    """The exported base model with room for ROWS chains."""
    from mch_runtime.llama.context import open_session
    from mch_runtime.llama.model import open_model
    from mch_runtime.options import EngineOptions
    from mch_runtime.session import Interrupt

    base = folder / "base-f32.gguf"
    options = EngineOptions(model=base, max_sequences=ROWS, ctx_size=256 * ROWS)
    with open_model(base) as model, open_session(model, options, Interrupt()) as session:
        yield session


def _evaluate(arguments: argparse.Namespace) -> None:
    from training.evaluate import evaluate

    phase = CURRICULA[arguments.curriculum][-1]
    with _base_session(arguments.dir) as session:
        outcomes = evaluate(session, phase, count=arguments.count, seed=arguments.seed, rows=ROWS)
    for group, right in outcomes.items():
        print(f"{group:<40} {sum(right) / len(right):6.3f}  of {len(right)}")


def _traces(arguments: argparse.Namespace) -> None:
    from mch_runtime.options import SamplingOptions
    from training.curriculum import Mixture, problems
    from training.traces import sample, save, trace_set

    held = arguments.problems // 4
    plan = [
        ("train", "train", arguments.problems, arguments.chains, arguments.temperature),
        ("held-out", "validation", held, arguments.chains, arguments.temperature),
        ("greedy", "validation", held, 1, 0.0),
    ]
    with _base_session(arguments.dir) as session:
        for name, split, count, chains, temperature in plan:
            out = arguments.dir / f"traces-{name}.npz"
            if out.exists():
                print(f"{out} is there already")
                continue
            sampling = SamplingOptions(
                temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=arguments.seed + 1000
            )
            stream = problems(Mixture(), split_name=split, seed=arguments.seed + 1)
            traces = trace_set(
                sample(session, stream, count=count, chains=chains, sampling=sampling, rows=ROWS)
            )
            save(traces, out)
            means = traces.labels[~traces.is_answer].mean(axis=0)
            right = traces.labels[traces.last_steps, 2].mean()
            print(f"{out}: {len(traces.problems):,} chains, {right:.3f} right, {means[0]:.3f} steps valid")


def _head(arguments: argparse.Namespace) -> None:
    from mch_runtime.head.fit import FitConfig
    from training.head import make_head
    from training.traces import load

    sets = [load(arguments.dir / f"traces-{name}.npz") for name in ("train", "held-out", "greedy")]
    config = FitConfig(width=arguments.width, seed=arguments.seed)
    make_head(
        arguments.dir / "base-f32.gguf", *sets, config, arguments.dir / "sage-pico" / "head.safetensors"
    )


def _package(arguments: argparse.Namespace) -> None:
    from convert.to_gguf import convert

    convert(arguments.dir / "sage-pico", arguments.out, outtype="q8_0")
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


COMMANDS = {
    "data": _data,
    "show": _show,
    "pretrain": _pretrain,
    "export": _export,
    "evaluate": _evaluate,
    "traces": _traces,
    "head": _head,
    "package": _package,
}

if __name__ == "__main__":
    main()
