"""The same problems as people type them: shorter, looser, with pronouns and number words.

    Ben has 4 apples. Anna has 2 more. How many does she have?

The families' own wordings name everybody and everything in every sentence; nobody writes like that.
Only the text changes: solution, answer, key and content stay as they are, and whatever a sentence
leaves out can be read from the sentence before it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from training.families.changes.content import Content as ChangesContent
from training.families.order.content import Content as OrderContent
from training.families.prices.content import Content as PricesContent
from training.families.quantities.content import Content as QuantitiesContent
from training.phrasing import changes, order, prices, quantities
from training.phrasing.assemble import Draft, assemble
from training.phrasing.voice import Voice
from training.problems import Problem


def casual(problem: Problem, rng: Random) -> Problem:
    """The problem with ``question`` and ``facts`` in other words, everything else unchanged.

    facts: one sentence for each of the original facts, in their order; the question may join them.
    Raises TypeError where the problem is of a family that has no phrasing.
    """
    voice = Voice(rng)
    draft = _draft(problem.content, voice)
    facts = tuple(clause.sentence for clause in draft.clauses)
    return replace(problem, question=assemble(draft, voice), facts=facts)


def _draft(content: object, voice: Voice) -> Draft:
    match content:
        case QuantitiesContent():
            return quantities.phrase(content, voice)
        case ChangesContent():
            return changes.phrase(content, voice)
        case PricesContent():
            return prices.phrase(content, voice)
        case OrderContent():
            return order.phrase(content, voice)
        case _:
            raise TypeError(f"there is no casual phrasing for {type(content).__qualname__}")
