"""Roads not taken: at a token of a chain another one is put, and the model goes on from there, greedily."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mch_runtime.chain import Chain, write_chains
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.inverse.reading import Option, Read
from mch_runtime.inverse.scoring import waves
from mch_runtime.options import SamplingOptions
from mch_runtime.session import Session

LONGER = 2  # a road may be this many times as long as the chain that it leaves
SHORTEST_LIMIT = 64  # tokens


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A place of the chain, and the token that could have been there."""

    token: int
    option: Option


@dataclass(frozen=True, kw_only=True)
class Road:
    """A whole chain, and what it amounts to.

    text: all of it, the part before the turn included. complete: the model ended it by itself. logprob_mean: log P(z | x)
    per token, nats; sound: the head's channel at its last step, confidence_raw: its P(the answer
    is right) for ``fast``; both None without a head.
    """

    text: str
    complete: bool
    logprob_mean: float
    sound: float | None
    confidence_raw: float | None


def chain_road(read: Read) -> Road:
    """The chain itself as a road."""
    channels = next((step.channels for step in reversed(read.steps)), None)
    return Road(
        text=read.text,
        complete=True,
        logprob_mean=sum(s.logprob for s in read.statistics) / max(1, len(read.statistics)),
        sound=channels.get("sound") if channels else None,
        confidence_raw=read.confidence_raw,
    )


def follow(session: Session, read: Read, turns: Sequence[Turn], *, head: Head | None) -> list[Road]:
    """Every turn's road to its end, a token of each per batch, as many at a time as there is room for."""
    limit = max(SHORTEST_LIMIT, LONGER * len(read.token_ids))
    roads: list[Road] = []
    for wave in waves(session, [limit] * len(turns)):
        roads += _follow_wave(session, read, [turns[place] for place in wave], head, limit)
    return roads


def _follow_wave(
    session: Session, read: Read, turns: Sequence[Turn], head: Head | None, limit: int
) -> list[Road]:
    # All together, they must not outgrow the context.
    room = max(1, session.free_tokens // len(turns))
    with ExitStack() as stack:
        sampler = stack.enter_context(session.sampler(SamplingOptions(), seed=0))
        witnesses = [HeadWitness(head, calibrated=lambda: False) if head else None for _ in turns]
        chains = []
        for turn, witness in zip(turns, witnesses, strict=True):
            chain = Chain(
                session.vocabulary,
                sampler,
                max_tokens=min(limit, turn.token + room),
                witness=witness,
                delimiter=read.delimiter,
            )
            taken = turn.token + 1
            chain.replay(
                [*read.token_ids[: turn.token], turn.option.token_id],
                [*read.statistics[: turn.token], turn.option.statistics],
                read.states[:taken],
            )
            branch = stack.enter_context(session.fork(read.branch, length=read.length(turn.token)))
            chains.append((branch, chain))
        write_chains(session, chains)
    return [_road(chain, witness) for (_, chain), witness in zip(chains, witnesses, strict=True)]


def _road(chain: Chain, witness: HeadWitness | None) -> Road:
    return Road(
        text=chain.text,
        complete=chain.finish_reason == "stop",
        logprob_mean=sum(s.logprob for s in chain.statistics) / len(chain.statistics),
        sound=witness.channels.get("sound") if witness else None,
        confidence_raw=witness.answer_confidence("fast") if witness else None,
    )
