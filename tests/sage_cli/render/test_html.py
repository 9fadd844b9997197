"""The page as a browser reads it: its structure, what it may load, and how it looks."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.explanation import Explanation
from sage_cli.render.chart import curve
from sage_cli.render.html import explained
from sage_cli.render.page import element, text
from sage_cli.render.styles import Style
from tests.explanation_samples import ALL, hostile, right, without_steps, wrong

STYLES: tuple[Style, ...] = get_args(Style)
VOID = {"meta"}
LOADING = {
    "src",
    "srcset",
    "action",
    "data",
    "poster",
    "background",
    "cite",
    "formaction",
    "ping",
    "xlink:href",
}
SCALE = 0.5  # pixels of a picture for each of the page, the least that Chromium draws
BROWSER = next(
    filter(
        None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))
    ),
    None,
)


class Reader(HTMLParser):
    """Elements, ids and links of a page; ``unbalanced`` holds what was not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.words = ""
        self.styles = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles += data
        else:
            self.words += data

    def of(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
@pytest.mark.parametrize("style", STYLES)
def test_a_page_is_whole_and_loads_nothing(make: Callable[[], Explanation], style: Style) -> None:
    page = explained(make(), style)
    read = Reader(page)
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert (read.open, read.unbalanced) == ([], [])
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form", "video"} & set(
        read.tags
    )
    assert not {name for _, name, _ in read.attributes if name in LOADING or name.startswith("on")}
    assert not re.search(r"url\(|@import|expression", read.styles)
    assert all(target.startswith("#") for target in read.of("href"))
    ids = read.of("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in read.of("href")} <= set(ids)
    assert {name for value in read.of("aria-labelledby") for name in value.split()} <= set(ids)
    assert set(re.findall(r"#([qs]\d+)\b", read.styles.rpartition("}\n}\n")[2])) <= set(ids) | (
        set() if style in {"steps", "evidence"} else set(re.findall(r"#([qs]\d+)\b", read.styles))
    )


def test_the_policy_allows_the_style_sheet_alone() -> None:
    page = explained(right(), "steps")
    sheet = re.search(r"<style>(.*)</style>", page, re.DOTALL)
    assert sheet is not None
    digest = base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert " style=" not in page


def test_what_the_model_wrote_is_text() -> None:
    read = Reader(explained(hostile(), "evidence"))
    assert "<script>alert(1)</script>" in read.words
    assert '"><img src=x onerror=alert(1)>\\x1b[2J' in read.words
    assert "\x1b" not in read.words
    assert "\u202e" not in read.words


def test_steps_and_facts_are_linked_both_ways() -> None:
    page = explained(right(), "steps")
    step = page[page.index('id="s2"') : page.index('id="s3"')]
    assert re.findall(r'href="#(\w+)"', step) == ["q1", "s1"]
    fact = page[page.index('id="q1"') : page.index('id="q2"')]
    assert re.findall(r'href="#(\w+)"', fact) == ["s1", "s2"]
    assert "body:has(#s2:is(:hover,:focus-within,:target)) :is(#q1,#s1){" in page
    assert "body:has(#q1:is(:hover,:focus-within,:target)) :is(#s1,#s2){" in page


def test_verdicts_are_words_and_signs() -> None:
    words = Reader(explained(wrong(), "steps")).words
    assert "✗ wrong arithmetic" in words
    assert "? inherits an error" in words


def test_own_words_are_marked() -> None:
    for style in STYLES:
        assert "The model's own words: generated, not measured" in Reader(explained(hostile(), style)).words


def test_a_page_without_steps() -> None:
    words = Reader(explained(without_steps(), "steps")).words
    assert "No answer was found in the text." in words
    assert "The steps" not in words


@given(st.text(max_size=60))
def test_text_and_attributes_are_escaped(words: str) -> None:
    markup = element("p", text(words), title=words)
    read = Reader(markup)
    assert (read.tags, read.open, read.unbalanced) == (["p"], [], [])
    assert [name for _, name, _ in read.attributes] == ["title"]


@settings(max_examples=60)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_curves_stay_in_their_picture(values: list[float]) -> None:
    drawing = curve("c", "title", values, low=0.0, high=1.0)
    points = [tuple(map(float, point.split(","))) for point in re.findall(r"[\d.]+,[\d.]+", drawing)]
    assert len(points) == len(values)
    assert all(38 <= x <= 400 and 0 <= y <= 150 for x, y in points)
    assert "nan" not in drawing


@pytest.mark.slow
@pytest.mark.skipif(
    BROWSER is None, reason="no Chromium is installed: apt-get install chromium-headless-shell"
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["wrong", "hostile"])
def test_how_it_looks(name: str, width: int, dark: bool, tmp_path: Path) -> None:
    """Nothing reaches beyond the window's right edge, in colours that can be told from the paper."""
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(explained(ALL[name](), "evidence"), encoding="utf-8")
    assert BROWSER is not None
    subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--force-device-scale-factor={SCALE}",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1600",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--screenshot={picture}", page.as_uri(),
        ],
        check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    columns, rows = pixels(picture.read_bytes())
    assert (columns, len(rows)) == (int(width * SCALE), int(1600 * SCALE))
    paper = rows[2][:3]
    assert (sum(paper) < 200) == dark
    assert all(row[-6:] == paper * 2 for row in rows), "something reaches the right edge"
    assert len({row[at : at + 3] for row in rows for at in range(0, 3 * columns, 3)}) > 20, (
        "the page is empty"
    )


def pixels(png: bytes) -> tuple[int, list[bytes]]:
    """Width and rows, three bytes a pixel, of a PNG of 8-bit RGB or RGBA without interlacing."""
    width, _height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (depth, png[28]) == (8, 0)
    size = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        [length] = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    stride = width * size
    rows: list[bytes] = []
    before = bytes(stride)
    for start in range(0, len(raw), stride + 1):
        before = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), before, size)
        rows.append(bytes(before[i] for i in range(stride) if i % size < 3))
    return width, rows


def unfiltered(kind: int, row: bytearray, above: bytes, size: int) -> bytes:
    """A row as it was before PNG's filter of this kind (https://www.w3.org/TR/png, section 9)."""
    for i in range(len(row)):
        left = row[i - size] if i >= size else 0
        corner = above[i - size] if i >= size else 0
        near = {0: 0, 1: left, 2: above[i], 3: (left + above[i]) // 2}
        row[i] = (row[i] + (near[kind] if kind < 4 else paeth(left, above[i], corner))) & 0xFF
    return bytes(row)


def paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))
