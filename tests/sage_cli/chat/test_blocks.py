from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sage_cli.chat.blocks import Blocks, Piece

TEXT = "# Title\nOne\ntwo.\n\n- a\n- b\n\n```py\nx = 1\n\ny\n```\nEnd"


def pieces(text: str, size: int) -> list[Piece]:
    blocks = Blocks()
    found: list[Piece] = []
    for start in range(0, len(text), size):
        blocks.feed(text[start : start + size])
        found += blocks.complete()
    return [*found, *blocks.complete(last=True)]


def test_what_a_text_is_made_of() -> None:
    assert pieces(TEXT, 1) == [
        Piece("block", "# Title\n"),
        Piece("block", "One\ntwo.\n\n"),
        Piece("block", "- a\n- b\n\n"),
        Piece("fence", "```py"),
        Piece("code", "x = 1"),
        Piece("code", ""),
        Piece("code", "y"),
        Piece("fence", "```"),
        Piece("block", "End"),
    ]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["a", "# h", "```", "~~~", "", " b", "- c", "````x", "```y"]), max_size=12))
def test_how_it_comes_does_not_matter(lines: list[str]) -> None:
    text = "\n".join(lines)
    whole = pieces(text, len(text) + 1)
    assert pieces(text, 1) == pieces(text, 3) == whole
    assert "".join(p.text.replace("\n", "") for p in whole) == text.replace("\n", "")


def test_nothing_is_told_before_its_end() -> None:
    blocks = Blocks()
    blocks.feed("One **bold")
    assert list(blocks.complete()) == []
    blocks.feed("** word.\n")
    assert list(blocks.complete()) == []
    assert blocks.rest == "One **bold** word.\n"
