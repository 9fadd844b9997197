"""Templates that came with a model can do nothing but write a bounded prompt."""

from __future__ import annotations

import pytest

from prompts.chat import render_prompt
from prompts.dialects import Dialect, shipped
from prompts.sandbox import TemplateRefusedError, render

MESSAGES = [{"role": "user", "content": "hello"}]


def test_chatml() -> None:
    assert render(shipped()["chatml"].template, MESSAGES) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_pico() -> None:
    turns = [*MESSAGES, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "x"}]
    assert render(shipped()["sage-pico"].template, turns) == (
        "<|user|>hello<|assistant|>hi<|end|><|user|>x<|assistant|>"
    )


HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.append(1) }}",
    "{{ 'x' * 10**9 }}",
    "{{ [0] * 10**9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ 2 ** 100000000 }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ 'a' | center(10**9) }}",
    "{{ ('(' * 5000) ",
    "(" * 5000,
    "{{ " + "(" * 5000 + " }}",
    "{% include 'etc/passwd' %}",
    "{{ raise_exception('no') }}",
    "{{ 1 / 0 }}",
    "{{ messages[5]['content'] }}{{ undefined.attribute }}",
    "{{ cycler.__init__.__globals__ }}",
    "x" * (300 << 10),
]


@pytest.mark.parametrize("template", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_templates_are_refused_or_harmless(template: str) -> None:
    try:
        text = render(template, MESSAGES)
    except TemplateRefusedError:
        return
    assert len(text) < 1 << 20


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    ],
    ids=["time", "memory"],
)
@pytest.mark.slow
def test_a_foreign_template_is_bounded_by_a_child_process(template: str) -> None:
    with pytest.raises(TemplateRefusedError):
        render_prompt(Dialect("custom", template), MESSAGES)


def test_a_foreign_template_is_rendered() -> None:
    dialect = Dialect("custom", "{{ bos_token }}[{{ messages[0]['content'] }}]")
    assert render_prompt(dialect, [{"role": "user", "content": "grüße"}], bos_token="<s>") == "<s>[grüße]"
