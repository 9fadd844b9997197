"""Chains that came with the questions, read by teacher forcing: what the head would have seen of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mch_runtime.errors import ResourceError
from mch_runtime.fitting.questions import LabelledStep
from mch_runtime.fitting.seen import Seen, seen
from mch_runtime.inverse.reading import text_ends
from mch_runtime.prompting import Prompt, plain_tokens
from mch_runtime.session import Block, Feed, FloatArray, Session
from mch_runtime.statistics import TokenStatistics, measured_step, token_statistics


@dataclass(frozen=True, kw_only=True)
class Reader:
    """end_token: what the model ends its answers with, None where that is not known."""

    session: Session
    end_token: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """A chain that was read. line: what a journal's line holds of it, but for its answer."""

    text: str
    seen: Seen
    line: dict[str, Any]


def read_given(reader: Reader, prompt: Prompt, chains: Sequence[Sequence[LabelledStep]]) -> Iterator[Given]:
    """Those that fit the context behind the prompt, one after the other."""
    for steps in chains:
        token_ids = plain_tokens(reader.session.vocabulary, "\n".join(step.text for step in steps))
        text, places = text_ends(reader.session.vocabulary, token_ids)
        newlines = [place + 1 for place, sign in enumerate(text) if sign == "\n"]
        if len(newlines) != len(steps) - 1 or not token_ids:
            continue  # the vocabulary cannot spell it
        ends = [bisect_left(places, place) + 1 for place in newlines]
        if reader.end_token is not None:
            token_ids.append(reader.end_token)
        ends.append(len(token_ids))
        try:
            states, statistics = _read(reader.session, prompt, token_ids)
        except ResourceError:
            continue
        yield Given(
            text=text,
            seen=seen(states, statistics, ends),
            line={
                "tokens": len(states),
                "ends": ends,
                "texts": [step.text for step in steps],
                "logprobs": _logprobs(statistics, ends),
                "valid": [step.valid for step in steps],
            },
        )


def _read(
    session: Session, prompt: Prompt, token_ids: Sequence[int]
) -> tuple[list[FloatArray], list[TokenStatistics]]:
    """States after the prompt's last token and after every token, and the tokens' statistics."""
    states: list[FloatArray] = []
    statistics: list[TokenStatistics] = []
    first = len(prompt.token_ids) - 1

    def read(block: Block) -> None:
        for logits, hidden in zip(block.logits, block.hidden, strict=True):
            states.append(hidden.copy())
            if len(statistics) < len(token_ids):
                statistics.append(token_statistics(logits, token_ids[len(statistics)]))

    with session.branch() as branch:
        session.decode([Feed(branch, [*prompt.token_ids, *token_ids], first)], read)
    return states, statistics


def _logprobs(statistics: Sequence[TokenStatistics], ends: Sequence[int]) -> list[float]:
    starts = [0, *ends[:-1]]
    spans = zip(starts, ends, strict=True)
    steps = [measured_step("", span, statistics, confidence=None) for span in spans]
    return [round(step.logprob_mean, 5) for step in steps]
