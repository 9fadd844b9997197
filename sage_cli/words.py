"""A model's own words about an explanation: generated with the evidence in front of it, not measured."""

from __future__ import annotations

from dataclasses import replace

from mch_runtime.explanation import Explanation
from mch_runtime.observer import SilentObserver
from mch_runtime.options import AskOptions
from prompts.words import own_words_request
from sage_cli.account import paragraph
from sage_cli.shell import Asking

_MOST_TOKENS = 256


def with_own_words(engine: Asking, explanation: Explanation) -> Explanation:
    """The explanation with what the model says about it. Raises what asking a question raises."""
    trace = explanation.trace
    request = own_words_request(
        question=trace.question.strip(),
        reasoning=trace.text.strip(),
        evidence="\n".join(paragraph(explanation)),
    )
    said = engine.ask(request, AskOptions(max_tokens=_MOST_TOKENS), observer=SilentObserver())
    return replace(explanation, words=said.text.strip() or None)
