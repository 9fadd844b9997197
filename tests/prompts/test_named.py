from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.named import SHIPPED, BadTemplateError, NamedTemplate, parse, shipped

TRANSLATE = """
system = "Translate into $language, ${tone}."
prompt = "Text: $input"
model = "small"
[options]
temperature = 0.5
top_k = 3
[defaults]
tone = "plainly"
"""


def test_a_template_is_filled() -> None:
    template = parse(TRANSLATE, "translate")
    assert template.variables == ("language", "tone")
    assert (template.model, dict(template.options)) == ("small", {"temperature": 0.5, "top_k": 3})
    filled = template.fill("costs $5 or $language", {"language": "French"})
    assert filled.system == "Translate into French, plainly."
    assert filled.prompt == "Text: costs $5 or $language"


@given(st.text(), st.text())
def test_nothing_is_inserted_twice(question: str, value: str) -> None:
    filled = NamedTemplate(name="t", system="$a", prompt="$input").fill(question, {"a": value})
    assert (filled.system, filled.prompt) == (value, question)


def test_a_template_without_a_question() -> None:
    template = parse('prompt = "Tell me $$5 worth of jokes."', "joke")
    assert not template.takes_input
    assert template.fill("").prompt == "Tell me $5 worth of jokes."
    with pytest.raises(BadTemplateError, match="no place for a question"):
        template.fill("Why?")


@pytest.mark.parametrize(
    ("given_values", "said"),
    [
        ({}, "needs a value of language"),
        ({"language": "French", "speed": "1"}, "has no variable speed"),
        ({"input": "x", "language": "y"}, "has no variable input"),
    ],
)
def test_variables_are_strict(given_values: dict[str, str], said: str) -> None:
    with pytest.raises(BadTemplateError, match=said):
        parse(TRANSLATE, "translate").fill("q", given_values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system = ", "invalid value"),
        ('sistem = "x"', "sistem is none of"),
        ("system = 3", "system must be text"),
        ("options = 3", "options must be a table"),
        ('system = "costs $5"', "system has a \\$ without a name"),
        ('[options]\ntemperature = "hot"', "option temperature must be a number"),
        ("[options]\ntop_k = true", "option top_k must be a number"),
        ("[defaults]\ntone = 1", "the default of tone must be text"),
        ('[defaults]\ntone = "x"', "\\$tone does not occur"),
        ('system = ""\nprompt = " "', "says nothing"),
    ],
)
def test_what_is_no_template(text: str, said: str) -> None:
    with pytest.raises(BadTemplateError, match=said):
        parse(text, "t")


def test_those_that_come_with_sage() -> None:
    assert set(shipped()) == set(SHIPPED) >= {"standard", "agentic", "socratic", "speak-with-intent", "brief"}
    for template in shipped().values():
        assert template.description.endswith(".")
        assert template.fill("Why?").prompt == "Why?"
    assert shipped()["standard"].system == ""
