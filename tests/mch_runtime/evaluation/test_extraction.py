"""What is taken for the answer in texts as models write them."""

from __future__ import annotations

import pytest

from mch_runtime.evaluation.extraction import extract, spoken_confidence

FOUR = ("21", "21.5", "22", "22.5")
THINGS = ("ignore", "enforce", "authoritarian", "yell at", "avoid")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("She sells 16 - 3 - 4 = 9 eggs.\nShe makes 9 * 2 = $18.\n#### 18", "18"),
        ("The answer is **$1,250**.", "1250"),
        ("So she pays 3 dollars.\n\nAnswer: 42.50 dollars", "42.5"),
        ("First 4, then 5. Therefore the final answer is 4 + 5 = 9.", "9"),
        (r"Hence \boxed{72} clips.", "72"),
        ("They need 14 boxes", "14"),
        ("27", "27"),
        ("It was 5 in 1999, and now -3", "-3"),
        ("unknown", None),
        ("", None),
    ],
)
def test_numbers(text: str, answer: str | None) -> None:
    assert extract(text, "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"We get $\boxed{\left( 3, \frac{\pi}{2} \right)}.$", r"(3,\frac{\pi}{2})"),
        (r"Thus $p - q = \boxed{\frac{14}{3}}$", "14/3"),
        (r"First \boxed{1}. No: \boxed{\frac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}"),
        ("The final answer is $x = 5$. I hope it is correct.", "5"),
        ("It is \n\n$\\text{Evelyn}$", "Evelyn"),
        (r"an open box \boxed{1", None),
    ],
)
def test_mathematics(text: str, answer: str | None) -> None:
    assert extract(text, "math") == answer


@pytest.mark.parametrize(
    ("text", "options", "answer"),
    [
        ("The answer is (B).", FOUR, "B"),
        ("Answer: C) 22", FOUR, "C"),
        ("B", FOUR, "B"),
        ("B) 21.5", FOUR, "B"),
        ("(D)", FOUR, "D"),
        ("22.5", FOUR, "D"),
        ("avoid", THINGS, "E"),
        ("Answer: yell at", THINGS, "D"),
        (r"\boxed{\text{A}}", FOUR, "A"),
        ("It is option C because the others are too small.\nSo C it is", FOUR, "C"),
        ("A man walks into a bar and nothing follows from that", THINGS, None),
        ("The correct answer is Z", FOUR, None),
        ("I do not know", FOUR, None),
    ],
)
def test_choices(text: str, options: tuple[str, ...], answer: str | None) -> None:
    assert extract(text, "choice", options) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [("27", "27"), ("unknown", "unknown"), ("The answer is Paris.", "paris"), ("two\nlines", None)],
)
def test_free_text(text: str, answer: str | None) -> None:
    assert extract(text, "text") == answer


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Answer: 5\nConfidence: 85%", 0.85),
        ("confidence is 0.7", 0.7),
        ("I am 90 % sure", 0.9),
        ("Confidence: 140", None),
        ("no idea", None),
        ("Confidence: 1", 1.0),
    ],
)
def test_spoken_confidence(text: str, confidence: float | None) -> None:
    assert spoken_confidence(text) == confidence


def test_a_long_text_is_read_at_once() -> None:
    text = "the answer to that is not " * 50_000 + "\nAnswer: 7"
    assert extract(text, "number") == "7"
