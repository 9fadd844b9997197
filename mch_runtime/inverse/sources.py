"""What a step can rest on: the sentences of the question and the earlier steps, as stretches of tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from mch_runtime.explanation import Source
from mch_runtime.inverse.reading import Read, text_ends
from mch_runtime.session import Vocabulary

# The number or dash in front of a step, and its first word: they say which step comes next, which depends on
# all that has been done and is still to do, and not on what the step rests on.
_OPENING = re.compile(r"\s*(?:(?:step\s*)?#?\d{1,6}\s?[:.)]\s+|[-*•]\s+)?\S+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A sentence of the question or a step of the chain.

    span: [start, end) in the characters of the question, or of the chain; tokens: [start, end) in prompt and chain.
    """

    source: Source
    index: int
    span: tuple[int, int]
    text: str
    tokens: tuple[int, int]


def find_places(
    vocabulary: Vocabulary, read: Read, *, question: str, sentences: Sequence[tuple[int, int]]
) -> tuple[Place, ...]:
    """The sentences that can be premises, in order, then all steps.

    What is asked is no premise: a sentence that ends with a question mark is left out, unless it is the only
    one. So are all sentences where the prompt does not show the question as it is.
    """
    return (*_told(vocabulary, read, question, sentences), *_steps(read))


def content(read: Read, step: int) -> tuple[int, int]:
    """The tokens [start, end) of prompt and chain that a step consists of, its opening left out."""
    start, end = read.steps[step].tokens
    begin = read.ends[start - 1] if start else 0
    opening = _OPENING.match(read.text, begin, read.ends[end - 1])
    first = bisect_right(read.ends, opening.end()) if opening else start
    return read.length(first if first < end else start), read.length(end)


def _told(
    vocabulary: Vocabulary, read: Read, question: str, sentences: Sequence[tuple[int, int]]
) -> list[Place]:
    if read.prompt.question is None:
        return []
    start, end = read.prompt.question
    shown, ends = text_ends(vocabulary, read.prompt.token_ids[start:end])
    before = question.find(shown)
    if before < 0:
        return []
    found = []
    for index, (first, last) in enumerate(sentences):
        # A token belongs to the sentence that it ends in.
        tokens = bisect_right(ends, first - before), bisect_right(ends, last - before)
        asks = question[first:last].rstrip().endswith("?") and len(sentences) > 1
        if tokens[0] < tokens[1] and not asks:
            found.append(
                Place(
                    source="question",
                    index=index,
                    span=(first, last),
                    text=question[first:last],
                    tokens=(start + tokens[0], start + tokens[1]),
                )
            )
    return found


def _steps(read: Read) -> list[Place]:
    return [
        Place(
            source="step",
            index=index,
            span=step.segment.span,
            text=step.segment.text,
            tokens=(read.length(step.tokens[0]), read.length(step.tokens[1])),
        )
        for index, step in enumerate(read.steps)
    ]
