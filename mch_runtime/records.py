"""Chains of reasoning as they come from outside: traces, JSON Lines, GSM8K, AQuA, plain text.

The form is told from the content. Every error says what is wrong, what to do, and in which line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from mch_runtime.answers import normalise
from mch_runtime.errors import DataError, SageError
from mch_runtime.stated_answer import BOXED, bare, stated_answer, states_answer
from mch_runtime.strict_json import loads
from mch_runtime.trace import Trace
from mch_runtime.wire import SCHEMA, TraceWire, from_wire

LONGEST = 1 << 20  # bytes of one record

_QUESTION = ("question", "problem", "prompt")
_REASONING = ("reasoning", "rationale", "solution", "chain", "text")
_ANSWER = ("answer", "final_answer", "correct")

_GSM8K = re.compile(r"(?:^|\n)[ \t]*####[ \t]*(?P<answer>[^\n]+)")
_BLANK = re.compile(r"\n[ \t\r]*\n")
_ASKS = re.compile(r"\s*(?:\*\*|#{1,4}\s)?(?:question|problem|q)\s?:(?:\*\*)?[ \t]*", re.IGNORECASE)
_REASONS = re.compile(
    r"^[ \t]*(?:(?:\*\*|#{1,4}\s)?(?:reasoning|solution|rationale|explanation|a)\s?:(?:\*\*)?[ \t]*\n?"
    r"|(?=(?:\*\*)?(?:step\s?1\b|answer\s?:|<think|<reasoning)))",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCES = re.compile(r"\n|(?<=[.!?])\s+")
_CLOSED = re.compile(r"</(?:think|thinking|thought|reasoning|rationale|scratchpad)>\s*")
_OPENED = re.compile(r"<(?:think|thinking|thought|reasoning|rationale|scratchpad)>")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A chain to be explained.

    text: the whole chain, the line of its answer included; answer: normalised. token_ids: of the chain, where
    its own model wrote it. line: of the input, from 1; None where there is but one record.
    """

    question: str
    text: str
    answer: str
    token_ids: tuple[int, ...] | None = None
    trace: Trace | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class BadRecord:
    """A record that cannot be read, and why."""

    line: int
    error: SageError


def parse_record(data: bytes | str, *, line: int | None = None) -> Record:
    """One record of any form.

    Raises DataError for what is damaged or incomplete, and SageError where the text states no answer.
    """
    try:
        text = _decoded(data)
        if text.lstrip().startswith(("{", "[")):
            return replace(_from_json(loads(text)), line=line)
        return replace(_from_text(text), line=line)
    except SageError as error:
        raise _placed(error, line) from error


def read_records(stream: BinaryIO) -> Iterator[Record | BadRecord]:
    """The records of a file, one at a time: a JSON object in every line, or a single record of any form.

    A bad line comes as a :class:`BadRecord`, and the rest follows. Raises SageError where the input is a
    single record and that is bad.
    """
    first = _line(stream)
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith(b"{"):
        yield parse_record(_rest(stream, first))
        return
    second = _line(stream)
    if not second:
        yield parse_record(first)
        return
    if not second.strip() or not second.lstrip().startswith(b"{"):
        after = _rest(stream, second) if second.strip() and not _is_whole(start) else None
        if after is not None:
            yield parse_record(first + after)
            return
    for number, line in _numbered(stream, [first, second]):
        if line.strip():
            yield _tried(line, number)


@dataclass(frozen=True, kw_only=True)
class QuestionRecord:
    """A question of a batch, or why it cannot be read. system: None where the record does not say; id: its own name."""

    line: int
    question: str = ""
    system: str | None = None
    id: str | int | None = None
    error: SageError | None = None


def read_questions(stream: BinaryIO) -> Iterator[QuestionRecord]:
    """A question in every line: a JSON object with ``question`` and, if wanted, ``id`` and ``system``, or plain text.

    A bad line comes with its error, and the rest follows. Blank lines are left out.
    """
    for number, line in _numbered(stream, []):
        if not line.strip():
            continue
        try:
            yield _question_record(_decoded(line).strip(), number)
        except SageError as error:
            yield QuestionRecord(line=number, error=_placed(error, number))


def _question_record(text: str, number: int) -> QuestionRecord:
    if not text.startswith("{"):
        return QuestionRecord(line=number, question=text)
    value = loads(text)
    question, system = _text(value, _QUESTION), _text(value, ("system",))
    if question is None or not question.strip():
        raise DataError('the record has no question: "question" is missing', hint='add "question"')
    own = value.get("id")
    if own is not None and (not isinstance(own, str | int) or isinstance(own, bool)):
        raise DataError('"id" is neither a text nor a whole number', hint='write "id" as a string')
    return QuestionRecord(line=number, question=question, system=system, id=own)


def _tried(line: bytes, number: int) -> Record | BadRecord:
    try:
        if not line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            raise DataError(f"line {number}: not a JSON object", hint="write one JSON object per line")
        return parse_record(line, line=number)
    except SageError as error:
        return BadRecord(line=number, error=error)


def _numbered(stream: BinaryIO, read: list[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    for line in read:
        number += 1
        yield number, line
    while line := _line(stream):
        number += 1
        yield number, line


def _line(stream: BinaryIO) -> bytes:
    """The next line; of one that is too long, just enough to see that."""
    line = stream.readline(LONGEST + 2)
    rest = line
    while len(rest) == LONGEST + 2 and not rest.endswith(b"\n"):
        rest = stream.readline(LONGEST + 2)
    return line


def _rest(stream: BinaryIO, before: bytes) -> bytes:
    return before + stream.read(max(0, LONGEST + 1 - len(before)))


def _is_whole(line: bytes) -> bool:
    return line.rstrip().endswith(b"}")


def _decoded(data: bytes | str) -> str:
    size = len(data)
    if size > LONGEST + 1:
        raise DataError(
            f"the record is longer than {LONGEST:,} bytes",
            hint="give one chain per record; JSON Lines has one object in each line",
        )
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start}", hint="save it as UTF-8"
        ) from error


def _placed(error: SageError, line: int | None) -> SageError:
    """The same error, with the line in its sentence."""
    if line is None:
        return error
    placed = DataError if isinstance(error, DataError) else SageError
    return placed(f"line {line}: {error.message}", hint=error.hint)


def _from_json(value: Any) -> Record:
    if not isinstance(value, dict):
        raise DataError("a record is not an object", hint="write one JSON object per line, not an array")
    if "schema" in value:
        return _from_trace(value)
    question = _text(value, _QUESTION) or ""
    if not question:
        raise DataError('the record has no question: "question" is missing', hint='add "question"')
    reasoning = _steps(value) or _text(value, _REASONING)
    answer = _text(value, _ANSWER)
    if not reasoning and answer is not None and "\n" in answer.strip():
        reasoning, answer = answer, None  # GSM8K keeps both in one
    options = value.get("options")
    if isinstance(options, list) and all(isinstance(option, str) for option in options):
        question = "\n".join([question.rstrip(), *options])
    return _made(question, reasoning or "", answer)


def _from_trace(value: Mapping[str, Any]) -> Record:
    if value["schema"] != SCHEMA:
        raise DataError(f"not a trace of schema {SCHEMA}", hint="give the output of sage ask --json")
    # What a later version or an explanation adds is not needed here.
    trace = from_wire({key: value[key] for key in TraceWire.__annotations__ if key in value})
    texts = (trace.question, trace.text)
    is_sound = all(isinstance(text, str) for text in texts) and all(
        isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 2**31
        for token in trace.token_ids
    )
    if not is_sound or not isinstance(trace.answer, str | None):
        raise DataError("the trace has values of the wrong kind", hint="give the output of sage ask --json")
    record = _made(trace.question, trace.text, trace.answer, complete=False)
    return replace(record, token_ids=trace.token_ids, trace=trace)


def _from_text(text: str) -> Record:
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise DataError("there is nothing to explain: the input is empty", hint="give a question and a chain")
    label = _ASKS.match(text)
    start = label.end() if label is not None else 0
    marks = [match for match in (_BLANK.search(text, start), _REASONS.search(text, start)) if match]
    if not marks:
        first = text.find("\n", start)
        cut = (first, first + 1) if first >= 0 else (len(text), len(text))
    else:
        cut = min(match.span() for match in marks)
    chain = text[cut[1] :]
    heading = _REASONS.match(chain)
    if heading is not None and "\n" not in chain[: heading.start()]:
        chain = chain[heading.end() :]
    return _made(text[start : cut[0]], chain, None)


def _made(question: str, reasoning: str, answer: str | None, *, complete: bool = True) -> Record:
    """complete: a line with the answer is added to reasoning that does not state it."""
    if not question.strip():
        raise DataError("the question is empty", hint="give the question before its chain")
    if not reasoning.strip():
        raise DataError(
            "the chain is empty", hint="give the question, a blank line, then the reasoning and its answer"
        )
    said = _stated(reasoning)
    final = normalise(answer) if answer is not None else said
    if final is None:
        raise SageError("no answer was found in the chain", hint=_missing(reasoning))
    text = reasoning.strip("\n")
    if complete and said is None:
        text = f"{text.rstrip()}\nAnswer: {final}"
    return Record(question=question.strip(), text=text, answer=final)


def _stated(text: str) -> str | None:
    """What the chain itself says its answer is."""
    annotated = [match["answer"] for match in _GSM8K.finditer(text)]
    if annotated:
        return bare(annotated[-1])
    for sentence in reversed(_SENTENCES.split(text)):
        if states_answer(sentence):
            return stated_answer(sentence)
    closed = [match.end() for match in _CLOSED.finditer(text)]
    rest = text[closed[-1] :].strip() if closed else ""
    return bare(rest) if rest and "\n" not in rest else None


def _missing(text: str) -> str:
    if _OPENED.search(text) and not _CLOSED.search(text):
        return "the reasoning is opened by a tag and never closed; close it and give the answer"
    if BOXED in text:
        return "the box around the answer is not closed"
    return 'end it with a line such as "Answer: 27", or name the answer in the record'


def _text(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of the named values that is there."""
    for name in names:
        found = value.get(name)
        if found is None:
            continue
        if isinstance(found, int | float) and not isinstance(found, bool) and names is _ANSWER:
            return str(found)
        if not isinstance(found, str):
            raise DataError(f'"{name}" is not a text', hint=f'write "{name}" as a string')
        return found
    return None


def _steps(value: Mapping[str, Any]) -> str | None:
    """What "steps" holds, as a list of texts."""
    steps = value.get("steps")
    if not isinstance(steps, list):
        return None
    if not all(isinstance(step, str) for step in steps):
        raise DataError('"steps" holds something that is not a text', hint="write every step as a string")
    return "\n".join(steps)
