"""Untrusted text never becomes control tokens, and stays what it was."""

from __future__ import annotations

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


def test_a_prompt_may_open_the_reasoning() -> None:
    dialect = Dialect("own", "{{ messages[0]['content'] }}<think>\n", trusted=True)
    assert make_prompt(vocabulary, dialect, [{"role": "user", "content": "x"}]).opens_reasoning


def test_templates_are_known_by_their_text() -> None:
    assert dialect_of(shipped()["sage-pico"].template).name == "sage-pico"
    assert dialect_of(None).name == "chatml"
    assert not dialect_of("{{ messages }}").trusted
