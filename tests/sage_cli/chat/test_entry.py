from __future__ import annotations

import pytest

from sage_cli.chat.entry import Lines


def entries(*lines: str) -> list[str]:
    assembled = Lines()
    found = [assembled.feed(line) for line in lines]
    rest = assembled.rest()
    return [entry for entry in [*found, rest] if entry is not None]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["one", "two"], ["one", "two"]),
        (['"""one', "two", 'three"""', "four"], ["one\ntwo\nthree", "four"]),
        (['"""', "one", "", "two", '"""'], ["one\n\ntwo"]),
        (['"""one"""'], ["one"]),
        (["!multi", "one", "two", "!end", "three"], ["one\ntwo", "three"]),
        (["!multi xyz", "one", "!end", "two", "!end xyz"], ["one\n!end\ntwo"]),
        (["one \\", "two \\", "three"], ["one \ntwo \nthree"]),
        (['"""never', "closed"], ["never\nclosed"]),
        (["", "  "], ["", "  "]),
    ],
)
def test_lines_become_entries(lines: list[str], expected: list[str]) -> None:
    assert entries(*lines) == expected


def test_an_entry_under_way_can_be_dropped() -> None:
    lines = Lines()
    assert lines.feed('"""one') is None
    assert lines.waiting
    lines.clear()
    assert not lines.waiting
    assert lines.feed("two") == "two"
