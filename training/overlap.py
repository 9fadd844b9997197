"""Which questions a corpus holds, and what makes two questions the same.

The same in words: alike but for capitals, punctuation and spaces. The same in structure: alike but for
names, things and numbers too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer

from training.corpus import Corpus
from training.dialect import ASSISTANT, END, USER
from training.families.prices.wording import SINGULARS
from training.families.writing import ITEMS, NAMES, NUMBER_WORDS

BATCH = 2000  # examples decoded at a time

_WORD = re.compile(r"[^\W\d_]+|\d+")
_NUMBER = "#"
# Numbers that a wording may put in a word; "second" and "first" are places in a row and stay.
_NUMBERS = frozenset(NUMBER_WORDS.values()) | set("one twenty twice half third quarter".split())
_NAMES = frozenset(name.casefold() for name in NAMES)
_THINGS = {item: item for item in ITEMS} | {"coin": "coins"} | {one: many for many, one in SINGULARS.items()}
# What follows from a name or a thing alone.
_ALIKE = {"an": "a", "she": "he", "her": "him", "his": "him", "hers": "him"}


def corpus_questions(corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
    """The question of every example, in order: what stands behind the first user token of each.

    Raises ValueError for an example without one.
    """
    tokens = corpus.token_ids
    user = tokenizer.token_to_id(USER)
    closing = [tokenizer.token_to_id(text) for text in (ASSISTANT, END)]
    opened = _first_after(tokens == user, corpus.starts[:-1]) + 1
    closed = _first_after(np.isin(tokens, [i for i in closing if i is not None]), opened)
    if (closed >= corpus.starts[1:]).any():
        raise ValueError("the corpus has an example without a question; is the tokenizer its own?")
    for first in range(0, len(opened), BATCH):
        spans = zip(opened[first : first + BATCH], closed[first : first + BATCH], strict=True)
        yield from tokenizer.decode_batch([tokens[a:b].tolist() for a, b in spans])


def _first_after(wanted: np.ndarray, places: np.ndarray) -> np.ndarray:
    """For each place, the first index from there on where ``wanted`` is true; its length if there is none."""
    found = np.append(np.flatnonzero(wanted), len(wanted))
    return np.asarray(found[np.minimum(np.searchsorted(found, places), len(found) - 1)])


def words(question: str) -> str:
    """A question as it is compared: its words and numbers in lower case."""
    return " ".join(_WORD.findall(question.casefold()))


def structure(question: str) -> str:
    """Its words with a placeholder for each name and thing, by order of first occurrence, and one for numbers.

    Numbers are not told apart: that two of them are equal is chance.
    """
    places: dict[str, str] = {}
    found: list[str] = []
    for word in _WORD.findall(question.casefold()):
        if word in _NUMBERS or word.isdigit():
            found.append(_NUMBER)
        elif word in _NAMES:
            found.append(places.setdefault(word, f"name{len(places)}"))
        elif word in _THINGS:
            found.append(places.setdefault(_THINGS[word], f"thing{len(places)}"))
        else:
            found.append(_ALIKE.get(word, word))
    return " ".join(found)


def short_hash(text: str) -> int:
    """Eight bytes of a text: among a million texts, two share them with a chance of one in thirty million."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
