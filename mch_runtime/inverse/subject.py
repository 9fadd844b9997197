"""What is explained: a chain of this model's own, by its trace, or one that anybody has written."""

from __future__ import annotations

from dataclasses import dataclass

from mch_runtime.errors import UsageError
from mch_runtime.inverse.reading import text_ends
from mch_runtime.inverse.segment import final_answer
from mch_runtime.prompting import plain_tokens
from mch_runtime.session import Vocabulary
from mch_runtime.trace import Cost, ModelInfo, Sampling, Seconds, Trace
from prompts.dialects import Dialect


@dataclass(frozen=True, kw_only=True)
class Written:
    """A chain by anyone. answer: what it comes to, if that is known and not to be looked for in the text."""

    question: str
    text: str
    answer: str | None = None


def as_written(vocabulary: Vocabulary, dialect: Dialect, written: Written) -> tuple[str, list[int]]:
    """A chain of any origin as this model would have written it: text and tokens, answer and end included.

    Its text is untrusted: it never becomes control tokens. Raises UsageError if there is none.
    """
    text = written.text.strip()
    if not text and not written.answer:
        raise UsageError("the chain is empty", hint="give its reasoning, or at least its answer")
    if written.answer and final_answer(text, dialect=dialect) is None:
        text = f"{text}\n{dialect.answer_prefix or 'Answer:'} {written.answer}".lstrip()
    token_ids = plain_tokens(vocabulary, text)
    if dialect.answer_end and final_answer(text, dialect=dialect) is not None:
        token_ids += vocabulary.tokenize(dialect.answer_end, parse_special=True)
    return text_ends(vocabulary, token_ids)[0], token_ids


def is_own(vocabulary: Vocabulary, trace: Trace, model: ModelInfo) -> bool:
    """Whether a trace is this very model's, steered as it is, and its tokens are what its text says."""
    known = bool(trace.token_ids) and all(0 <= token_id < vocabulary.size for token_id in trace.token_ids)
    return (
        known
        and trace.model.fingerprint == model.fingerprint
        and trace.model.steered_by == model.steered_by
        and text_ends(vocabulary, trace.token_ids)[0] == trace.text
    )


def foreign_trace(
    vocabulary: Vocabulary,
    dialect: Dialect,
    chain: Written,
    *,
    model: ModelInfo,
    prompt_tokens: int,
    load_seconds: float,
    created: str,
    sage_version: str,
) -> Trace:
    """The trace of a chain that the model has not written, before anything is measured. Raises UsageError."""
    text, token_ids = as_written(vocabulary, dialect, chain)
    answer = chain.answer or final_answer(text, dialect=dialect)
    return Trace(
        question=chain.question,
        answer=answer,
        answer_text=answer or "",
        text=text,
        mode="fast",
        model=model,
        confidence=None,
        confidence_basis=None,
        confidence_raw=None,
        steps=(),
        cost=Cost(
            prompt_tokens=prompt_tokens,
            generated_tokens=0,
            scored_tokens=0,
            seconds=Seconds(load=load_seconds, prefill=0.0, decode=0.0),
            tokens_per_second=0.0,
        ),
        seed=0,
        sampling=Sampling(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0),
        finish_reason="stop",
        token_ids=tuple(token_ids),
        created=created,
        sage_version=sage_version,
    )
