"""``python -m training STAGE``: one command per stage of making sage-pico."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_DIR = Path("build/pico")


def main(argv: list[str] | None = None) -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")

    def stage(name: str, text: str) -> argparse.ArgumentParser:
        sub = stages.add_parser(name, help=text, description=text)
        sub.add_argument("--dir", type=Path, default=DEFAULT_DIR, help="working folder (default: %(default)s)")
        sub.add_argument("--seed", type=int, default=0)
        return sub

    data = stage("data", "tokenizer and tokenized corpus, from the training split")
    data.add_argument("--tokens", type=int, default=13_000_000)
    data.add_argument("--vocab-size", type=int, default=768, help="at most; the corpus may fill less")
    show = stage("show", "print problems with their solutions")
    show.add_argument("--count", type=int, default=5)
    show.add_argument("--level", default="easy", choices=("easy", "standard", "hard"))
    base = stage("pretrain", "the base model; goes on from its checkpoint if there is one")
    base.add_argument("--processes", type=int, default=2, help="CPU only: one thread each")
    arguments = parser.parse_args(argv)
    COMMANDS[arguments.stage](arguments)


def _data(arguments: argparse.Namespace) -> None:
    from training.corpus import Curriculum, build_corpus, describe, train_tokenizer
    from training.dialect import Mix

    arguments.dir.mkdir(parents=True, exist_ok=True)
    curriculum, mix = Curriculum(), Mix()
    tokenizer = train_tokenizer(
        curriculum, seed=arguments.seed, vocab_size=arguments.vocab_size, documents=20_000
    )
    tokenizer.save(str(arguments.dir / "tokenizer.json"))
    corpus = build_corpus(curriculum, tokenizer, seed=arguments.seed, tokens=arguments.tokens, mix=mix)
    corpus.save(arguments.dir / "corpus.npz")
    (arguments.dir / "corpus.json").write_text(describe(curriculum, mix, seed=arguments.seed))
    print(f"{len(corpus):,} examples, {len(corpus.token_ids):,} tokens, vocabulary {tokenizer.get_vocab_size()}")


def _show(arguments: argparse.Namespace) -> None:
    from itertools import islice

    from training.corpus import Curriculum, problems

    stream = problems(Curriculum(level=arguments.level), split_name="train", seed=arguments.seed)
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


COMMANDS = {"data": _data, "show": _show, "pretrain": _pretrain}

if __name__ == "__main__":
    main()
