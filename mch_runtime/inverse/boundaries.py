"""Where a sentence ends: not behind "e.g.", "Mr.", "J." or the number of an item, nor inside "3.5"."""

from __future__ import annotations

import re

MEMORY = 48  # characters before a full stop that its meaning may depend on

# Never at the end of a sentence; "No." is one only before a number.
_TITLES = frozenset("mr mrs ms dr prof st mt fig eq vs approx e.g i.e cf viz rev gen capt messrs".split())
# At the end of a sentence only if a new one clearly begins.
_UNITS = frozenset(
    "ft in oz lb lbs hr hrs min mins sec secs cm mm km kg mi yd yds gal pt qt mph etc inc co corp ltd jr sr "
    "avg no nos dept est incl a.m p.m u.s u.k ph.d".split()
)
_WORD = re.compile(r"[^\s(\[\"'“‘$*_]+$")
_NEXT = re.compile(r"\s{1,64}([^\s\w]{0,3})(\w?)")
_NAMED = re.compile(r"(?:^|[.!?:]\s+|(?P<before>\b\w+)\s+)\w\.$")
# "option A." and "is B." end a sentence, "John F." does not.
_LETTERED = frozenset(
    "option choice answer point person team box plan company train pump pipe machine case group class "
    "is are be was to and or than at of".split()
)


def ends_sentence(text: str, stop: re.Match[str]) -> bool:
    """Whether the matched full stop, question or exclamation mark, and what closes with it, ends a sentence."""
    follows = _NEXT.match(text, stop.end())
    first = follows[2] if follows is not None else ""
    is_lower = first.islower() and not (follows and follows[1])
    if stop[0][0] != ".":
        return stop[0][0] != "…" or not is_lower
    before = text[max(0, stop.start() - MEMORY) : stop.start()]
    if before.endswith("."):
        return not is_lower
    found = _WORD.search(before)
    word = found[0].lower() if found is not None else ""
    if word in _TITLES or (word in ("no", "nos") and first.isdigit()):
        return False
    if word in _UNITS and is_lower:
        return word == "in" and not re.search(r"\d\s*in$", before)
    return not _is_initial(f"{before}.", first)


def _is_initial(before: str, first: str) -> bool:
    """Whether the full stop at the end of ``before`` shortens a name: "J. Smith", "John F. Kennedy"."""
    named = _NAMED.search(before)
    if named is None or not before[-2].isupper() or not first.isupper():
        return False
    return (named["before"] or "").lower() not in _LETTERED
