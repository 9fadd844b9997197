"""Records of every form, and one clear sentence for everything that is none."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import DataError, SageError
from mch_runtime.records import LONGEST, BadRecord, Record, parse_record, read_records
from mch_runtime.trace import Cost, ModelInfo, Sampling, Seconds, Trace
from mch_runtime.wire import to_wire


def trace(answer: str | None = "7") -> Trace:
    seconds = Seconds(load=0.0, prefill=0.0, decode=0.0)
    return Trace(
        question="Q?",
        answer=answer,
        answer_text="7",
        text="Step 1: 3 + 4 = 7.\nAnswer: 7",
        mode="fast",
        model=ModelInfo(name="m", file="m.gguf", quantization=None, fingerprint="f", head=None),
        confidence=None,
        confidence_basis=None,
        confidence_raw=None,
        steps=(),
        cost=Cost(
            prompt_tokens=1, generated_tokens=3, scored_tokens=0, seconds=seconds, tokens_per_second=1.0
        ),
        seed=0,
        sampling=Sampling(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0),
        finish_reason="stop",
        token_ids=(5, 6, 7),
        created="",
        sage_version="",
    )


def read(data: bytes | str) -> list[Record | BadRecord]:
    return list(read_records(io.BytesIO(data.encode() if isinstance(data, str) else data)))


def one(data: bytes | str) -> Record:
    (record,) = read(data)
    assert isinstance(record, Record)
    return record


def test_a_trace() -> None:
    wire = dict(to_wire(trace())) | {"decisions": []}  # a newer version may add keys
    record = one(json.dumps(wire))
    assert record.trace == trace()
    assert (record.token_ids, record.answer) == ((5, 6, 7), "7")
    assert one(json.dumps(wire, indent=2)) == record
    with pytest.raises(SageError, match="no answer"):
        one(json.dumps(to_wire(trace(answer=None)) | {"text": "Step 1: 3 + 4 = 7."}))
    with pytest.raises(DataError, match="wrong kind"):
        one(json.dumps(wire | {"token_ids": ["5"]}))


@pytest.mark.parametrize(
    ("data", "question", "text", "answer"),
    [
        ('{"question":"Q","reasoning":"2+2=4.","answer":"4"}', "Q", "2+2=4.\nAnswer: 4", "4"),
        ('{"question":"Q","rationale":"a\\nAnswer: 4","answer":4}', "Q", "a\nAnswer: 4", "4"),
        ('{"question":"Q","answer":"x\\n#### 1,200"}', "Q", "x\n#### 1,200", "1,200"),
        ('{"problem":"Q","solution":"so \\\\boxed{5}."}', "Q", "so \\boxed{5}.", "5"),
        (
            '{"question":"Q","options":["A)1","B)2"],"rationale":"so 2","correct":"B"}',
            "Q\nA)1\nB)2",
            "so 2\nAnswer: B",
            "B",
        ),
        ('{"question":"Q","steps":["a","b"],"answer":"4"}', "Q", "a\nb\nAnswer: 4", "4"),
        (
            "Tom has 3.\nHow many?\n\nStep 1: a\nAnswer: 3",
            "Tom has 3.\nHow many?",
            "Step 1: a\nAnswer: 3",
            "3",
        ),
        ("Question: a\nb?\nSolution: x. The answer is 5.", "a\nb?", "x. The answer is 5.", "5"),
        ("Q?\r\nx\r\n#### 7\r\n", "Q?", "x\n#### 7", "7"),
        ("Q?\n<think>a</think>27", "Q?", "<think>a</think>27", "27"),
        ("\ufeffQ?\n\nAnswer: 3", "Q?", "Answer: 3", "3"),
    ],
)
def test_forms(data: str, question: str, text: str, answer: str) -> None:
    record = one(data)
    assert (record.question, record.text, record.answer) == (question, text, answer)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ("", 65, "empty"),
        ("only one line", 65, "the chain is empty"),
        ("Q?\n\nno answer", 1, "no answer"),
        ("Q?\n<think>a\nb", 1, "no answer"),
        (b"\xff\xfe", 65, "not UTF-8: byte 0xff at offset 0"),
        ("x" * (LONGEST + 2), 65, "longer than"),
        ("[1]", 65, "not an object"),
        ("[" * 40, 65, "levels"),
        ('{"question":"a","question":"b"}', 65, "twice"),
        ('{"question":"Q","reasoning":NaN}', 65, "NaN"),
        ('{"question":"Q","reasoning":"r","answer":1e999}', 65, "too large"),
        ('{"question":"Q","reasoning":"r","answer":123456789012345678901}', 65, "64 bits"),
        ('{"question":"\\ud800","reasoning":"r","answer":"1"}', 65, "surrogate"),
        ('{"question":"Q","reasoning":"r"', 65, "not JSON"),
        ('{"question":5}', 65, "not a text"),
        ('{"reasoning":"r"}', 65, "no question"),
        ('{"question":"Q","reasoning":" "}', 65, "the chain is empty"),
        ('{"schema":"sage.trace/9"}', 65, "not a trace"),
        ('{"schema":"sage.trace/1"}', 65, "incomplete"),
    ],
)
def test_refusals(data: bytes | str, code: int, words: str) -> None:
    with pytest.raises(SageError, match=words) as caught:
        read(data)
    assert caught.value.exit_code == code


def test_the_hint_says_what_is_not_closed() -> None:
    with pytest.raises(SageError) as caught:
        parse_record("Q?\n<think>a\nb")
    assert "never closed" in caught.value.hint


def test_a_bad_line_does_not_stop_the_rest() -> None:
    good = '{"question":"Q","reasoning":"r","answer":"4"}'
    long = '{"question":"' + "x" * (2 * LONGEST) + '"}'
    found = read("\n".join([good, "bad", "", long, '{"question":"Q","reasoning":"r"}', good]))
    assert [type(one) for one in found] == [Record, BadRecord, BadRecord, BadRecord, Record]
    assert [one.line for one in found] == [1, 2, 4, 5, 6]
    errors = [one.error for one in found if isinstance(one, BadRecord)]
    assert [error.exit_code for error in errors] == [65, 65, 1]
    assert all(error.message.startswith("line ") for error in errors)


@given(
    st.one_of(st.binary(max_size=80), st.text('{}[]":, \nquestionrg\\u0#A:4', max_size=120).map(str.encode))
)
@settings(max_examples=200)
def test_any_bytes_give_records_or_errors_of_the_tree(data: bytes) -> None:
    try:
        for one in read_records(io.BytesIO(data)):
            assert isinstance(one, Record | BadRecord)
    except SageError:
        return
