"""Task sets as they are published: a reader for the records of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mch_runtime.errors import DataError
from mch_runtime.evaluation.equality import canonical
from mch_runtime.evaluation.problems import LETTERS, Problem, lettered
from mch_runtime.stated_answer import boxed

Record = Mapping[str, Any]

_LETTERED = re.compile(r"\s*\(?([A-Z])\s?[).:]\s*")
_PADDING = "N/A"  # what early MMLU-Pro files fill up ten options with
_NUMBER_LAST = 'Think step by step. End with a line "Answer: " and the number alone.'
_LETTER_LAST = 'Think step by step. End with a line "Answer: " and the letter of the right option alone.'
_BOX_LAST = r"Think step by step. Put the final answer in \boxed{}."


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a task set is written.

    title: its name; about: what its file is called and holds. instruction: what is asked below every question.
    read: (record, seed) -> the problem; raises DataError. The id is "" where the record has none.
    """

    title: str
    about: str
    instruction: str
    read: Callable[[Record, int], Problem]


def _pico(record: Record, _seed: int) -> Problem:
    return Problem(
        id=_text(record, "id"),
        question=_text(record, "question"),
        kind="text",
        answer=canonical(_text(record, "answer"), "text"),
        group=_text(record, "level"),
        depth=_whole(record, "steps"),
    )


def _gsm8k(record: Record, _seed: int) -> Problem:
    worked = _text(record, "answer")
    reasoning, mark, answer = worked.rpartition("####")
    if not mark:
        raise DataError('"answer" has no line "#### NUMBER"', hint="is it the published GSM8K?")
    depth = len([line for line in reasoning.splitlines() if line.strip()])
    question = _text(record, "question")
    return Problem(
        id="", question=question, kind="number", answer=canonical(answer, "number"), depth=depth or None
    )


def _math(record: Record, _seed: int) -> Problem:
    answer = record.get("answer")
    if answer is None:
        answer = boxed(_text(record, "solution"))
    if not isinstance(answer, str) or not answer.strip():
        raise DataError(r'there is neither "answer" nor a \boxed{} in "solution"', hint="is it MATH-500?")
    level = str(record.get("level", "")).removeprefix("Level ").strip()
    return Problem(
        id=str(record.get("unique_id", "")),
        question=_text(record, "problem"),
        kind="math",
        answer=canonical(answer, "math"),
        group=f"level {level}" if level else "",
    )


def _aqua(record: Record, _seed: int) -> Problem:
    options = tuple(_LETTERED.sub("", option, count=1) for option in _texts(record, "options"))
    return _choice("", _text(record, "question"), options, _text(record, "correct"))


def _commonsense(record: Record, _seed: int) -> Problem:
    asked = record.get("question")
    if isinstance(asked, Mapping):  # as its authors publish it; flat on the hub
        question, options = _text(asked, "stem"), _labelled(asked.get("choices"))
    else:
        question, options = _text(record, "question"), _labelled(record.get("choices"))
    key = record.get("answerKey")
    if not isinstance(key, str) or not key.strip():
        raise DataError(
            '"answerKey" is missing: the published test split has no answers', hint="use the dev split"
        )
    return _choice(str(record.get("id", "")), question, options, key)


def _mmlu_pro(record: Record, _seed: int) -> Problem:
    options = tuple(_texts(record, "options"))
    while len(options) > 1 and options[-1] == _PADDING:
        options = options[:-1]
    index = record.get("answer_index")
    letter = record.get("answer")
    if not isinstance(letter, str) or not letter.strip():
        letter = LETTERS[index] if isinstance(index, int) and 0 <= index < len(LETTERS) else ""
    if isinstance(index, int) and letter and LETTERS[index : index + 1] != letter.strip():
        raise DataError(f'"answer" is {letter} and "answer_index" {index}', hint="get the file again")
    identifier = str(record.get("question_id", ""))
    return _choice(
        identifier, _text(record, "question"), options, letter, group=str(record.get("category", ""))
    )


def _gpqa(record: Record, seed: int) -> Problem:
    question, right = _text(record, "Question").strip(), _text(record, "Correct Answer").strip()
    wrong = [_text(record, f"Incorrect Answer {k}").strip() for k in (1, 2, 3)]
    identifier = str(record.get("Record ID") or "")
    options = [right, *wrong]
    # The order depends on the seed and the question alone, not on where it stands in the file.
    order = list(range(len(options)))
    Random(f"{seed}/{identifier}/{question}").shuffle(order)
    group = str(record.get("High-level domain") or "")
    shuffled = tuple(options[place] for place in order)
    return _choice(identifier, question, shuffled, LETTERS[order.index(0)], group=group)


def _plain_choice(record: Record, _seed: int) -> Problem:
    given = record.get("options", record.get("choices"))
    options = (
        _labelled(given) if not _is_texts(given) else tuple(_LETTERED.sub("", o, count=1) for o in given)
    )
    answer = next((record[name] for name in ("answer", "answerKey", "correct") if name in record), None)
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise DataError('"answer" is missing', hint="give a letter, the option's text, or its index from 0")
    if isinstance(answer, int):
        answer = LETTERS[answer] if 0 <= answer < len(options) else str(answer)
    elif answer in options:
        answer = LETTERS[options.index(answer)]
    return _choice(
        str(record.get("id", "")), _text(record, "question"), options, answer, group=_group(record)
    )


def _free(record: Record, _seed: int) -> Problem:
    answer = record.get("answer")
    if isinstance(answer, bool) or not isinstance(answer, int | float | str) or not str(answer).strip():
        raise DataError('"answer" is missing', hint="write it as a string or a number")
    return Problem(
        id=str(record.get("id", "")),
        question=_text(record, "question"),
        kind="text",
        answer=canonical(str(answer), "text"),
        group=_group(record),
    )


def _choice(
    identifier: str, question: str, options: tuple[str, ...], answer: str, *, group: str = ""
) -> Problem:
    if not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"there are {len(options)} options", hint=f"2 to {len(LETTERS)} are possible")
    letter = canonical(answer, "choice")
    if letter not in LETTERS[: len(options)] or len(letter) != 1:
        raise DataError(f"the right answer {answer!r} is none of the options", hint="give its letter")
    return Problem(
        id=identifier,
        question=lettered(question, options),
        kind="choice",
        answer=letter,
        options=options,
        group=group,
    )


def _labelled(choices: Any) -> tuple[str, ...]:
    """Options as [{"label": "A", "text": "..."}, ...] or {"label": [...], "text": [...]}, by their labels."""
    if isinstance(choices, Mapping):
        labels, texts = _texts(choices, "label"), _texts(choices, "text")
    elif isinstance(choices, Sequence) and all(isinstance(choice, Mapping) for choice in choices):
        labels = [_text(choice, "label") for choice in choices]
        texts = [_text(choice, "text") for choice in choices]
    else:
        raise DataError('"choices" is not a list of options', hint="see docs/evaluation.md for the formats")
    if sorted(labels) != list(LETTERS[: len(labels)]) or len(labels) != len(texts):
        raise DataError("the labels of the choices are not A, B, C and so on", hint="relabel them")
    return tuple(text for _, text in sorted(zip(labels, texts, strict=True)))


def _group(record: Record) -> str:
    found = next((record[name] for name in ("group", "level", "category", "subject") if name in record), "")
    return str(found)


def _text(record: Record, name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f'"{name}" is missing or not a text', hint="see docs/evaluation.md for the formats")
    return value


def _texts(record: Record, name: str) -> list[str]:
    value = record.get(name)
    if not _is_texts(value):
        raise DataError(f'"{name}" is not a list of texts', hint="see docs/evaluation.md for the formats")
    return list(value)  # type: ignore[arg-type]


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _whole(record: Record, name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


FORMATS: Mapping[str, Format] = {
    "pico": Format(
        title="sage-pico's own families", about="held-out problems, built in", instruction="", read=_pico
    ),
    "gsm8k": Format(
        title="GSM8K", about="test.jsonl: question, answer", instruction=_NUMBER_LAST, read=_gsm8k
    ),
    "math-500": Format(
        title="MATH-500", about="test.jsonl: problem, solution, answer", instruction=_BOX_LAST, read=_math
    ),
    "aqua": Format(
        title="AQuA-RAT",
        about="test.json: question, options, rationale, correct",
        instruction=_LETTER_LAST,
        read=_aqua,
    ),
    "commonsenseqa": Format(
        title="CommonsenseQA",
        about="dev_rand_split.jsonl: question, choices, answerKey",
        instruction=_LETTER_LAST,
        read=_commonsense,
    ),
    "mmlu-pro": Format(
        title="MMLU-Pro",
        about="JSON Lines or Parquet: question, options, answer, answer_index",
        instruction=_LETTER_LAST,
        read=_mmlu_pro,
    ),
    "gpqa": Format(
        title="GPQA",
        about="gpqa_diamond.csv: Question, Correct Answer, Incorrect Answer 1 to 3",
        instruction=_LETTER_LAST,
        read=_gpqa,
    ),
    "choice": Format(
        title="multiple choice",
        about="JSON Lines: question, options, answer (letter, index from 0, or text)",
        instruction=_LETTER_LAST,
        read=_plain_choice,
    ),
    "free": Format(title="free answers", about="JSON Lines: question, answer", instruction="", read=_free),
}
