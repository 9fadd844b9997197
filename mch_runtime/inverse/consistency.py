"""Inverse consistency: how much the reasoning says about the question, by the model itself.

    ICS(x; z, y) = 1/|x| * sum_i [ log P(x_i | inverse(z, y), x_<i) - log P(x_i | inverse(), x_<i) ]

in nats per question token, teacher-forced: the model reads reasoning z and answer y in the inverse prompt and
is scored on the question x. The second term, the same prompt without reasoning, removes what is merely
fluent. After a part of the reasoning the same difference is I(x; z_<=t), the monotonicity curve.
The definition is ours, after SAGE-32B 5.3; see ``docs/head-format.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from mch_runtime.explanation import Consistency
from mch_runtime.inverse.scoring import Inquiry, Job, Scores, answer
from mch_runtime.prompting import FIRST, SECOND, Frame, Prompt
from mch_runtime.session import Branch, Feed, FloatArray, Session, Vocabulary
from prompts.dialects import Dialect
from prompts.inverse import inverse_messages

CONTROL_SEED = 0
SHORTEST_TRUNK = 16  # tokens


@dataclass(frozen=True, kw_only=True)
class Reasoning:
    """A chain's text, answer included, as the model reads it; prefixes: its parts, one after each step."""

    text: str
    prefixes: tuple[str, ...] = ()


def measure_consistency(
    session: Session,
    frame: Frame,
    *,
    question: str,
    reasonings: Sequence[Reasoning],
    control: bool = False,
) -> list[Consistency] | None:
    """See :func:`asking_consistency`."""
    with asking_consistency(
        session, frame, question=question, reasonings=reasonings, control=control
    ) as inquiry:
        return None if inquiry is None else answer(session, [inquiry])[0]


@contextmanager
def asking_consistency(
    session: Session,
    frame: Frame,
    *,
    question: str,
    reasonings: Sequence[Reasoning],
    control: bool = False,
) -> Iterator[Inquiry[list[Consistency]] | None]:
    """The consistency of each of several chains for one question; None where the question cannot be scored.

    What they share is in the cache for as long as the ``with`` lasts. The term without reasoning is computed once. Reasonings that begin alike, and a reasoning's prefixes, share what
    they have in common. frame: see :func:`inverse_frame`. control: also with the words of the question shuffled.
    Raises ResourceError if a reasoning does not fit.
    """
    wholes = ["", *(reasoning.text for reasoning in reasonings)]
    parts = [prefix for reasoning in reasonings for prefix in reasoning.prefixes]
    other = shuffled(question) if control else None
    asked = list(dict.fromkeys((text, question) for text in (*wholes, *parts)))
    asked += dict.fromkeys((text, other) for text in wholes if other is not None)
    prompts = [frame.fill(*pair) for pair in asked]

    def conclude(scores: Sequence[Scores]) -> list[Consistency]:
        known = {pair: one.logprobs for pair, one in zip(asked, scores, strict=True)}

        def information(text: str, about: str) -> FloatArray:
            return known[text, about] - known["", about]

        return [
            Consistency(
                ics=float(information(reasoning.text, question).mean()),
                control=float(information(reasoning.text, other).mean()) if other is not None else None,
                tokens=tuple(map(float, information(reasoning.text, question))),
                monotonicity=tuple(float(information(part, question).mean()) for part in reasoning.prefixes)
                or None,
            )
            for reasoning in reasonings
        ]

    with ExitStack() as stack:
        jobs = _jobs(session, stack, prompts)
        yield None if jobs is None else Inquiry(jobs, conclude)


def inverse_frame(vocabulary: Vocabulary, dialect: Dialect, **texts: str) -> Frame:
    """The inverse prompt, to be filled with a reasoning and a question. texts: what the template knows of the model.

    Raises TemplateRefusedError if the template does not show the messages as they are.
    """
    return Frame(vocabulary, dialect, inverse_messages(dialect, FIRST, SECOND), **texts)


def shuffled(question: str, *, seed: int = CONTROL_SEED) -> str | None:
    """The question's words in another order; None if there is no other."""
    words = question.split()
    other = list(words)
    Random(seed).shuffle(other)
    if other == words:
        other = other[1:] + other[:1]
    return " ".join(other) if other != words else None


def _jobs(session: Session, stack: ExitStack, prompts: Sequence[Prompt]) -> list[Job] | None:
    """The question's tokens to be scored in every prompt; None if a prompt does not show them."""
    spans = [prompt.question for prompt in prompts if prompt.question is not None]
    if len(spans) < len(prompts):
        return None
    begun = [p.token_ids[: s[0] - 1] for p, s in zip(prompts, spans, strict=True)]
    trunk, shared = _trunk(session, stack, begun)
    return [
        Job(token_ids=prompt.token_ids[length:end], first=start - length, parent=trunk, length=length)
        for prompt, (start, end), length in zip(prompts, spans, shared, strict=True)
    ]


def _trunk(
    session: Session, stack: ExitStack, prompts: Sequence[Sequence[int]]
) -> tuple[Branch | None, list[int]]:
    """As much of the longest prompt in the cache as another one begins with, and how much each of them shares.

    No trunk where nothing is shared that is worth a batch of its own.
    """
    longest = max(range(len(prompts)), key=lambda place: len(prompts[place]))
    shared = [_shared(prompt, prompts[longest]) for prompt in prompts]
    reach = max((length for place, length in enumerate(shared) if place != longest), default=0)
    if reach < SHORTEST_TRUNK:
        return None, [0] * len(prompts)
    trunk = stack.enter_context(session.branch())
    session.decode([Feed(trunk, prompts[longest][:reach], reach)], lambda _block: None)
    return trunk, [min(reach, length) for length in shared]


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
