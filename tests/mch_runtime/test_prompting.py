"""Untrusted text never becomes control tokens, and stays what it was."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.prompting import SENTINEL, defuse, make_prompt
from prompts.dialects import Dialect, dialect_of, shipped
from tests.fake_session import SPECIALS, FakeVocabulary

vocabulary = FakeVocabulary()
hostile = st.lists(
    st.sampled_from(
        [*SPECIALS, "<|", "|>", "<", ">", "end", "think", "/", "<<|end|>", "<th<think>ink>", SENTINEL]
    )
    | st.text(max_size=3)
).map("".join)


@settings(max_examples=1000)
@given(hostile, st.booleans())
def test_no_control_token_from_content(text: str, pico: bool) -> None:
    dialect = shipped()["sage-pico" if pico else "chatml"]
    prompt = make_prompt(vocabulary, dialect, [{"role": "user", "content": text}])
    empty = make_prompt(vocabulary, dialect, [{"role": "user", "content": ""}])
    specials = [token for token in prompt.token_ids if token >= 256]
    assert specials == [token for token in empty.token_ids if token >= 256]


@given(hostile)
def test_content_is_preserved(text: str) -> None:
    dialect = shipped()["sage-pico"]
    prompt = make_prompt(vocabulary, dialect, [{"role": "user", "content": text}])
    content = bytes(token for token in prompt.token_ids if token < 256)
    assert content.decode() == text.replace(SENTINEL, "\ufffd")


@given(st.text(alphabet=st.characters(blacklist_characters="<|>" + SENTINEL, blacklist_categories=("Cs",))))
def test_harmless_text_is_not_touched(text: str) -> None:
    assert defuse(text, vocabulary.specials) == text


def test_overlapping_specials_are_all_broken() -> None:
    broken = defuse("<a<a>b>", ["<a>", "<a<a>", "a>b>"])
    assert all(special not in part for part in broken.split(SENTINEL) for special in ("<a>", "a>b>"))


@given(st.text(alphabet="<a>]^-", max_size=30), st.lists(st.text(alphabet="<a>]^-", max_size=5), max_size=6))
def test_every_character_of_every_special_is_broken(text: str, specials: list[str]) -> None:
    """Against the definition, read off literally."""
    broken = {
        i
        for special in specials
        if len(special) > 1
        for start in range(len(text))
        if text.startswith(special, start)
        for i in range(start, start + len(special))
    }
    expected = "".join(c + SENTINEL if i in broken else c for i, c in enumerate(text))
    assert defuse(text, specials) == expected


def test_thousands_of_specials_are_broken_up_in_a_long_text() -> None:
    specials = [f"<unused{i}>" for i in range(6000)]
    safe = defuse("a < b <unused7> " * 20_000, specials)
    assert "<unused7>" not in safe
    assert safe.replace(SENTINEL, "") == "a < b <unused7> " * 20_000


class _Normalizing(FakeVocabulary):
    specials = ("<K>",)

    def __init__(self) -> None:
        self.parts: list[str] = []

    def normalize(self, text: str) -> str:
        return unicodedata.normalize("NFC", text)

    def tokenize(self, text: str, *, add_bos: bool = False, parse_special: bool = False) -> list[int]:
        self.parts.append(text)
        return []


def test_normalization_makes_no_control_tokens() -> None:
    """The Kelvin sign becomes the letter K, which completes a special token's text."""
    recording = _Normalizing()
    make_prompt(recording, shipped()["chatml"], [{"role": "user", "content": "a<\u212a>e\u0301"}])
    assert all("<K>" not in part for part in recording.parts)
    assert "a<K>\u00e9" in "".join(recording.parts)


def test_a_prompt_may_open_the_reasoning() -> None:
    dialect = Dialect("own", "{{ messages[0]['content'] }}<think>\n", trusted=True)
    assert make_prompt(vocabulary, dialect, [{"role": "user", "content": "x"}]).opens_reasoning


def test_templates_are_known_by_their_text() -> None:
    assert dialect_of(shipped()["sage-pico"].template).name == "sage-pico"
    assert dialect_of(None).name == "chatml"
    assert not dialect_of("{{ messages }}").trusted
