from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sage_cli.render.lanes import ASCII, UNICODE, draw

GRAPHS = st.integers(1, 12).flatmap(
    lambda rows: st.tuples(
        st.just(rows),
        st.dictionaries(st.integers(1, rows), st.sets(st.integers(0, rows - 1), min_size=1)),
    )
)


def test_a_step_ends_the_lane_that_its_premises_join() -> None:
    assert draw(7, {4: [0, 1], 5: [0, 4], 6: [5]}, UNICODE) == (
        "●─┬─╮ ",
        "●─┤ │ ",
        "● │ │ ",
        "● │ │ ",
        "●◂┴─┤ ",
        "●◂┬─╯ ",
        "●◂╯   ",
    )


def test_ascii() -> None:
    assert draw(3, {1: [0], 2: [0, 1]}, ASCII) == ("o-+-+ ", "o<+-+ ", "o<--' ")


def test_nothing_to_draw() -> None:
    assert draw(2, {}, UNICODE) == ("● ", "● ")
    assert draw(0, {}, UNICODE) == ()


@settings(max_examples=100)
@given(GRAPHS)
def test_the_drawing_says_what_rests_on_what(graph: tuple[int, dict[int, set[int]]]) -> None:
    rows, links = graph
    links = {end: {p for p in found if p < end} for end, found in links.items() if end < rows}
    drawing = draw(rows, {end: sorted(found) for end, found in links.items()}, UNICODE)
    assert len({len(line) for line in drawing}) <= 1
    assert _read(drawing) == {end: found for end, found in links.items() if found}


def _read(drawing: tuple[str, ...]) -> dict[int, set[int]]:
    """The links back from the characters: what joins a lane above its end."""
    links: dict[int, set[int]] = {}
    for column in range(2, len(drawing[0]) if drawing else 0, 2):
        joined: set[int] = set()
        for row, line in enumerate(drawing):
            if line[column] in "╮┬┤┼":
                joined.add(row)
            elif line[column] in "╯┴":
                links[row] = joined
                joined = set()
    return links
