"""``python -m training STEP``: one command per step of making sage-pico."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from training import recipe
from training.families import FAMILIES
from training.problems import Kind, Level, Split

if TYPE_CHECKING:
    from mch_runtime.session import Session

DEFAULT_DIR = Path("build/pico")
ROWS = 16  # more are no faster: attention looks at the cells of all rows
SAMPLED_TYPE = "q8_0"
ROWS_CONTEXT = 640  # tokens of question and chain together, at most


def main(argv: list[str] | None = None) -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")

    def step(name: str, text: str) -> argparse.ArgumentParser:
        sub = steps.add_parser(name, help=text, description=text)
        sub.add_argument(
            "--dir", type=Path, default=DEFAULT_DIR, help="working folder (default: %(default)s)"
        )
        sub.add_argument("--seed", type=int, default=0)
        return sub

    tokenizer = step("tokenizer", "the tokenizer, from the training split")
    tokenizer.add_argument("--vocab-size", type=int, default=1024, help="at most; the text may fill less")
    corpus = step("corpus", "the tokenized examples of a stage")
    corpus.add_argument("stage", choices=tuple(recipe.STAGES))
    corpus.add_argument("--tokens", type=int, help="default: as in the recipe")
    show = step("show", "print problems with their solutions")
    show.add_argument("--count", type=int, default=5)
    show.add_argument("--family", default="quantities", choices=tuple(FAMILIES))
    show.add_argument("--level", default="easy", choices=get_args(Level))
    show.add_argument("--kind", default="answerable", choices=get_args(Kind))
    show.add_argument("--casual", action="store_true", help="rephrased the way people type")
    train = step("train", "the weights of a stage; goes on from its checkpoint if there is one")
    train.add_argument("stage", choices=tuple(recipe.STAGES))
    train.add_argument("--processes", type=int, default=2, help="CPU only: one thread each")
    _start(train)
    pairs = step("pairs", "right and wrong answers of the exported model to the same problems")
    pairs.add_argument("--problems", type=int, default=8000)
    prefer = step("prefer", "the preference stage, on these pairs")
    _start(prefer)
    export = step("export", "the latest weights in Hugging Face's layout, and as F32 and Q8_0 GGUF")
    export.add_argument("--stage", choices=recipe.ORDER, help="default: the latest that was trained")
    check = step("evaluate", "greedy accuracy on validation problems, by family, kind and steps")
    check.add_argument("--count", type=int, default=1000)
    traces = step("traces", "chains sampled through llama.cpp and checked step by step")
    traces.add_argument("--problems", type=int, default=6000, help="for fitting; a quarter more is held out")
    traces.add_argument("--chains", type=int, default=4, help="of each problem")
    traces.add_argument("--temperature", type=float, default=1.0)
    head = step("head", "the meta-cognitive head, fitted and calibrated on the traces")
    head.add_argument("--width", type=int, default=128)
    modes = step("modes", "the confidence of vote, think and auto, fitted on validation problems")
    modes.add_argument("--problems", type=int, default=1200)
    package = step("package", "the shipped Q8_0 GGUF with its head")
    package.add_argument("--out", type=Path, default=Path("sage_cli/assets/sage-pico.gguf"))
    arguments = parser.parse_args(argv)
    COMMANDS[arguments.step](arguments)


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", choices=recipe.ORDER, help="whose weights to begin with (default: the latest)"
    )


def _tokenizer(arguments: argparse.Namespace) -> None:
    from training.corpus import train_tokenizer
    from training.curriculum import SERVED

    arguments.dir.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(
        SERVED, seed=arguments.seed, vocab_size=arguments.vocab_size, documents=20_000
    )
    tokenizer.save(str(arguments.dir / "tokenizer.json"))
    print(f"vocabulary {tokenizer.get_vocab_size()}")


def _corpus(arguments: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    from training.corpus import build_corpus, describe

    stage = recipe.STAGES[arguments.stage]
    tokenizer = Tokenizer.from_file(str(arguments.dir / "tokenizer.json"))
    tokens = arguments.tokens or stage.tokens
    # Every stage has problems of its own; the first one's seed is the plain number.
    seed = f"{arguments.stage}{arguments.seed or ''}" if arguments.stage != "base" else arguments.seed
    corpus = build_corpus(stage.phases, tokenizer, seed=seed, tokens=tokens, mix=stage.mix)
    out = recipe.corpus(arguments.dir, arguments.stage)
    corpus.save(out)
    out.with_suffix(".json").write_text(describe(stage.phases, stage.mix, seed=seed, tokens=tokens))
    print(f"{out}: {len(corpus):,} examples, {len(corpus.token_ids):,} tokens")


def _show(arguments: argparse.Namespace) -> None:
    from itertools import islice

    from training.curriculum import Mixture, problems

    mixture = Mixture(
        (arguments.family,),
        level=arguments.level,
        kinds={arguments.kind: 1.0},
        casual=float(arguments.casual),
    )
    stream = problems(mixture, split_name="train", seed=arguments.seed)
    for problem in islice(stream, arguments.count):
        print(problem.question, problem.solution, sep="\n", end="\n\n")


def _train(arguments: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    from training.model import ModelConfig
    from training.pretrain import PretrainConfig, parameter_count, pretrain

    stage = recipe.STAGES[arguments.stage]
    vocabulary = Tokenizer.from_file(str(arguments.dir / "tokenizer.json")).get_vocab_size()
    model = ModelConfig(vocab_size=vocabulary)
    start = recipe.start(arguments.dir, arguments.stage, arguments.start)
    print(f"{parameter_count(model):,} parameters, from {start or 'random weights'}")
    config = PretrainConfig(
        seed=arguments.seed,
        processes=arguments.processes,
        peak_lr=stage.peak_lr,
        warmup=stage.warmup,
        decay=stage.decay,
    )
    corpus = recipe.corpus(arguments.dir, arguments.stage)
    pretrain(corpus, arguments.dir / arguments.stage, model, config, start=start)


def _pairs(arguments: argparse.Namespace) -> None:
    from training.preference import sample_pairs

    with _base_session(arguments.dir) as session:
        pairs = sample_pairs(session, problems=arguments.problems, seed=arguments.seed, rows=ROWS)
    out = recipe.corpus(arguments.dir, recipe.PREFERENCE)
    pairs.save(out)
    print(f"{out}: {len(pairs) // 2:,} pairs")


def _prefer(arguments: argparse.Namespace) -> None:
    from training.corpus import Corpus
    from training.preference import PreferenceConfig, prefer

    start = recipe.start(arguments.dir, recipe.PREFERENCE, arguments.start)
    if start is None:
        raise SystemExit("the preference stage needs trained weights")
    config = PreferenceConfig(seed=arguments.seed)
    pairs = Corpus.load(recipe.corpus(arguments.dir, recipe.PREFERENCE))
    prefer(pairs, start, arguments.dir / recipe.PREFERENCE, config)


def _export(arguments: argparse.Namespace) -> None:
    from convert.to_gguf import convert
    from training.export import export

    folder = arguments.dir / "sage-pico"
    chosen = arguments.stage
    weights = recipe.checkpoint(arguments.dir, chosen) if chosen else recipe.latest(arguments.dir)
    if weights is None:
        raise SystemExit(f"nothing was trained in {arguments.dir}")
    export(weights, arguments.dir / "tokenizer.json", folder)
    (folder / "head.safetensors").unlink(missing_ok=True)
    for outtype in ("f32", SAMPLED_TYPE):
        convert(folder, _base(arguments.dir, outtype), outtype=outtype)
    print(f"{weights} as {folder} and base GGUFs beside it")


def _base(folder: Path, outtype: str) -> Path:
    return folder / f"base-{outtype}.gguf"


@contextmanager
def _base_session(folder: Path) -> Iterator[Session]:
    """The exported base model, of the type that ships, with room for ROWS chains."""
    from mch_runtime.llama.context import open_session
    from mch_runtime.llama.model import open_model
    from mch_runtime.options import EngineOptions
    from mch_runtime.session import Interrupt

    base = _base(folder, SAMPLED_TYPE)
    options = EngineOptions(model=base, max_sequences=ROWS, ctx_size=ROWS_CONTEXT * ROWS)
    with open_model(base) as model, open_session(model, options, Interrupt()) as session:
        yield session


def _evaluate(arguments: argparse.Namespace) -> None:
    from training.curriculum import SERVED
    from training.evaluate import evaluate

    with _base_session(arguments.dir) as session:
        outcomes = evaluate(session, SERVED[-1], count=arguments.count, seed=arguments.seed, rows=ROWS)
    for group, right in outcomes.items():
        print(f"{group:<40} {sum(right) / len(right):6.3f}  of {len(right)}")


def _traces(arguments: argparse.Namespace) -> None:
    from mch_runtime.options import SamplingOptions
    from training.curriculum import SERVED, phase_problems
    from training.traces import record, sample

    held = arguments.problems // 4
    plan: list[tuple[str, Split, int, int, float]] = [
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
            stream = phase_problems(SERVED[-1], seed=f"{arguments.seed}/traces", split_name=split)
            traces = record(
                sample(session, stream, count=count, chains=chains, sampling=sampling, rows=ROWS), out
            )
            means = traces.labels[~traces.is_answer].mean(axis=0)
            right = traces.labels[traces.last_steps, 2].mean()
            print(f"{out}: {len(traces.problems):,} chains, {right:.3f} right, {means[0]:.3f} steps valid")


def _head(arguments: argparse.Namespace) -> None:
    from itertools import islice

    from mch_runtime.head.fit import FitConfig
    from training.curriculum import SERVED, phase_problems
    from training.head import make_head
    from training.traces import load

    sets = [load(arguments.dir / f"traces-{name}.npz") for name in ("train", "held-out", "greedy")]
    questions = phase_problems(SERVED[-1], seed=f"{arguments.seed}/familiar", split_name="validation")
    make_head(
        _base(arguments.dir, "f32"),
        *sets,
        (problem.question for problem in islice(questions, 2000)),
        FitConfig(width=arguments.width, seed=arguments.seed),
        arguments.dir / "sage-pico" / "head.safetensors",
        data="four families, easy and standard; sampled by the model itself, labelled by exact checkers",
    )


def _modes(arguments: argparse.Namespace) -> None:
    from itertools import islice

    from convert.to_gguf import convert
    from mch_runtime.head.format import read_safetensors_head, write_safetensors_head
    from training.curriculum import SERVED, phase_problems
    from training.modes import calibrate_modes

    folder, model = arguments.dir / "sage-pico", arguments.dir / "with-head.gguf"
    path = folder / "head.safetensors"
    convert(folder, model, outtype=SAMPLED_TYPE)
    stream = phase_problems(SERVED[-1], seed=f"{arguments.seed}/modes", split_name="validation")
    problems = list(islice(stream, arguments.problems))
    head = calibrate_modes(model, read_safetensors_head(path), problems, seed=arguments.seed)
    write_safetensors_head(head, path)


def _package(arguments: argparse.Namespace) -> None:
    from convert.to_gguf import convert

    convert(arguments.dir / "sage-pico", arguments.out, outtype=SAMPLED_TYPE)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


COMMANDS = {
    "tokenizer": _tokenizer,
    "corpus": _corpus,
    "show": _show,
    "train": _train,
    "pairs": _pairs,
    "prefer": _prefer,
    "export": _export,
    "evaluate": _evaluate,
    "traces": _traces,
    "head": _head,
    "modes": _modes,
    "package": _package,
}

if __name__ == "__main__":
    main()
