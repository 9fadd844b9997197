"""Messages to token ids, with no way for untrusted text to become control tokens.

llama.cpp matches the text of user-defined tokens even where special tokens are not to be parsed, so
switching parsing off is not enough. Every occurrence of a special token's text in untrusted text is
broken up by a sentinel after each of its characters; the rendered prompt is cut at the sentinels and
its parts are tokenized one by one. Cutting only once would let overlapping specials through.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from mch_runtime.session import Vocabulary
from prompts.chat import render_prompt
from prompts.dialects import Dialect
from prompts.sandbox import TemplateRefusedError

SENTINEL = "\ufdd0"  # a noncharacter: never part of real text
OPENS, CLOSES = "\ufdd1", "\ufdd2"  # around the question while the template is rendered
FIRST, SECOND = "\ufdd3", "\ufdd4"  # where the contents of a frame belong
WRITTEN, ENDS = "\ufdd5", "\ufdd6"  # around text of which the tokens are known


def defuse(text: str, specials: Sequence[str]) -> str:
    """``text`` with a sentinel after every character of each special token's text in it.

    Specials of one character cannot be broken up; they carry no role.
    """
    text = re.sub(f"[{SENTINEL}-{ENDS}]", "\ufffd", text)
    breakable = {special for special in specials if len(special) > 1}
    if not breakable:
        return text
    # Some vocabularies have thousands of specials but few lengths: slices and a set, not a pattern of all.
    lengths: dict[str, list[int]] = {}
    for first, length in sorted({(special[0], len(special)) for special in breakable}, reverse=True):
        lengths.setdefault(first, []).append(length)
    # Specials may overlap and nest: look for the longest one from every character on.
    broken: set[int] = set()
    for match in re.finditer(f"[{''.join(map(re.escape, lengths))}]", text):
        start = match.start()
        for length in lengths[match[0]]:
            if text[start : start + length] in breakable:
                broken.update(range(start, start + length))
                break
    if not broken:
        return text
    return "".join(c + SENTINEL if i in broken else c for i, c in enumerate(text))


@dataclass(frozen=True)
class Prompt:
    """A conversation up to where the assistant speaks.

    opens_reasoning: it ends with the dialect's own marker of reasoning. question: [start, end), the tokens
    that hold nothing but the last message's text; None where the template does not show it as it is.
    """

    token_ids: list[int]
    opens_reasoning: bool
    question: tuple[int, int] | None = None


def make_prompt(
    vocabulary: Vocabulary,
    dialect: Dialect,
    messages: Sequence[Mapping[str, str]],
    *,
    bos_token: str = "",
    eos_token: str = "",
    written: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> Prompt:
    """The prompt of a conversation whose contents are untrusted.

    written: by a message's place, the tokens that the model itself has written for its content. They are taken over,
    so that nothing is read twice because it could also be spelled otherwise, unless the template changes the text.
    Raises ``prompts.sandbox.TemplateRefusedError`` if the template fails.
    """
    specials = vocabulary.specials
    safe = [
        {"role": m["role"], "content": defuse(vocabulary.normalize(m["content"]), specials)} for m in messages
    ]
    known = {safe[place]["content"]: token_ids for place, token_ids in written.items() if token_ids}
    for place in written:
        safe[place]["content"] = f"{WRITTEN}{safe[place]['content']}{ENDS}"
    safe[-1]["content"] = _marked(safe[-1]["content"])
    marked = render_prompt(dialect, safe, bos_token=bos_token, eos_token=eos_token)
    text = _unmarked(marked)
    token_ids: list[int] = []
    for place, part in enumerate(re.split(f"{WRITTEN}([^{WRITTEN}{ENDS}]*){ENDS}", text)):
        if place % 2 and part in known:
            token_ids += known[part]
        else:
            part = re.sub(f"[{WRITTEN}{ENDS}]", "", part)
            token_ids += _tokens(vocabulary, part, bos_token, begins=not token_ids)
    opens = bool(dialect.opens) and text.rstrip().endswith(dialect.opens)
    return Prompt(token_ids, opens, _span(vocabulary, token_ids, marked))


class Frame:
    """A conversation of two contents, rendered once and filled many times.

    It ends with the last content: what a template puts behind it is left out.
    """

    def __init__(
        self, vocabulary: Vocabulary, dialect: Dialect, messages: Sequence[Mapping[str, str]], **texts: str
    ) -> None:
        """messages: hold FIRST and SECOND, in this order, where the contents belong. texts: see make_prompt.

        Raises ``prompts.sandbox.TemplateRefusedError`` if the template fails or does not show both.
        """
        rendered = render_prompt(dialect, messages, **texts)
        before, first, rest = rendered.partition(FIRST)
        between, second, _ = rest.partition(SECOND)
        if not first or not second or SECOND in before:
            raise TemplateRefusedError("the chat template does not show the messages as they are")
        self._vocabulary = vocabulary
        self._parts = (before, between)
        self._bos_token = texts.get("bos_token", "")

    def fill(self, first: str, second: str) -> Prompt:
        """The prompt with these untrusted contents; its ``question`` is the second."""
        before, between = self._parts
        vocabulary = self._vocabulary
        safe = [defuse(vocabulary.normalize(text), vocabulary.specials) for text in (first, second)]
        marked = f"{before}{safe[0]}{between}{_marked(safe[1])}"
        token_ids = _tokens(vocabulary, _unmarked(marked), self._bos_token)
        return Prompt(token_ids, opens_reasoning=False, question=_span(vocabulary, token_ids, marked))


def plain_tokens(vocabulary: Vocabulary, text: str) -> list[int]:
    """Untrusted text as tokens, none of them a control token."""
    safe = defuse(vocabulary.normalize(text), vocabulary.specials)
    return [token_id for part in safe.split(SENTINEL) if part for token_id in vocabulary.tokenize(part)]


def _unmarked(marked: str) -> str:
    return marked.replace(OPENS, "").replace(CLOSES, "")


def _tokens(vocabulary: Vocabulary, text: str, bos_token: str, *, begins: bool = True) -> list[int]:
    """The tokens of a rendered prompt, or of the part that begins it, cut at the sentinels."""
    add_bos = begins and vocabulary.adds_bos and not (bos_token and text.startswith(bos_token))
    token_ids: list[int] = []
    for index, part in enumerate(text.split(SENTINEL)):
        if part or (index == 0 and add_bos):
            token_ids += vocabulary.tokenize(part, add_bos=add_bos and index == 0, parse_special=True)
    return token_ids


def _marked(content: str) -> str:
    """Marks around the content, inside of the white space that templates strip."""
    core = content.strip()
    return content.replace(core, f"{OPENS}{core}{CLOSES}", 1) if core else content


def _span(vocabulary: Vocabulary, token_ids: Sequence[int], marked: str) -> tuple[int, int] | None:
    """The tokens that lie within the marks."""
    if marked.count(OPENS) != 1 or marked.count(CLOSES) != 1:
        return None
    before, rest = re.sub(f"[{SENTINEL}{WRITTEN}{ENDS}]", "", marked).encode().split(OPENS.encode())
    content, _, behind = rest.partition(CLOSES.encode())
    pieces = [vocabulary.piece(token_id, special=True) for token_id in token_ids]
    # A vocabulary may put a token or a space in front, so the place is counted from the end.
    if not b"".join(pieces).endswith(before + content + behind):
        return None
    starts = list(accumulate(map(len, pieces), initial=0))
    last = starts[-1] - len(behind)
    start, end = bisect_left(starts, last - len(content)), bisect_right(starts, last) - 1
    return (start, end) if start < end else None
