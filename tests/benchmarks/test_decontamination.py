from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import decontamination
from benchmarks.decontamination import Overlap, Trained
from training.corpus import build_corpus, train_tokenizer
from training.curriculum import Mixture, Phase
from training.dialect import Mix
from training.overlap import corpus_questions

PHASES = (Phase(1.0, ((1.0, Mixture()),)),)


def test_a_question_that_occurs_is_named() -> None:
    trained = Trained.of(["Ben has 4 apples. Anna has 2 more. How many has Anna?", "Who is tall?"] * 2)
    assert (trained.n_questions, len(trained.words), len(trained.structures)) == (4, 2, 2)
    asked = ["who is tall", "Zoe has 9 pens. Leo has 3 more. How many has Leo?", "Is Leo tall?"]
    overlap = Overlap.of(asked, trained)
    assert overlap.occurring == ("who is tall",)
    assert overlap.familiar.tolist() == [True, True, False]


def test_the_command_reads_corpora_and_fails_where_a_question_occurs(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(PHASES, seed=0, vocab_size=400, documents=200)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    corpora = [build_corpus(PHASES, tokenizer, seed=seed, tokens=2000, mix=Mix()) for seed in (0, 1)]
    for index, corpus in enumerate(corpora):
        corpus.save(tmp_path / f"{index}.npz")
    questions = [question for corpus in corpora for question in corpus_questions(corpus, tokenizer)]
    few = tmp_path / "few.jsonl"
    command = [str(tmp_path / f"{index}.npz") for index in range(2)]
    command += ["--tokenizer", str(tmp_path / "tokenizer.json"), "--problems", "8"]
    command += ["--records", str(tmp_path), "--newcomers", str(few)]
    for question, status in (("Is this one new?", 0), (questions[-1], 1)):
        few.write_text(json.dumps({"question": question, "answer": "1"}), encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            decontamination.main(command)
        assert ended.value.code == status
        results = json.loads((tmp_path / "decontamination.json").read_text())["results"]
        assert results["training"]["questions"] == len(questions)
        assert results["sets"]["newcomers"]["occurring"] == [question] * status
        assert results["sets"]["easy"]["n"] == 8
