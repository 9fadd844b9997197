"""Named templates: what is said around a question, and the model and sampling that go with it.

A template is a TOML file: description, system, prompt, model, and the tables options and defaults. In system and prompt
``$input`` is the question, any other ``$name`` a variable, ``$$`` a dollar sign. Everything is checked when it is read,
and nothing is inserted twice: a dollar sign in a question is only that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template
from types import MappingProxyType

INPUT = "input"
LARGEST = 256 << 10  # bytes of a file
SHIPPED = ("standard", "brief", "agentic", "socratic", "speak-with-intent")

_NOTHING: Mapping[str, str] = MappingProxyType({})


class BadTemplateError(ValueError):
    """A file that is no template, or a template that was given too little or too much; says what in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What is sent: the system prompt and the question."""

    system: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class NamedTemplate:
    """A template. options: of sampling, by name. defaults: values of variables that need not be given."""

    name: str
    description: str = ""
    system: str = ""
    prompt: str = f"${INPUT}"
    model: str = ""
    options: Mapping[str, int | float] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_input(self) -> bool:
        """Whether it has a place for a question."""
        return INPUT in self._names()

    @property
    def variables(self) -> tuple[str, ...]:
        """All but the question, in the order in which they occur."""
        return tuple(name for name in self._names() if name != INPUT)

    def fill(self, question: str, given: Mapping[str, str] = _NOTHING) -> Filled:
        """The template with a question and values of its variables.

        Raises BadTemplateError for a variable that has no value, a value that has no variable, and a question where
        there is no place for it.
        """
        unknown = [name for name in given if name not in self.variables]
        if unknown:
            there = ", ".join(self.variables) or "none"
            raise BadTemplateError(f"the template {self.name} has no variable {unknown[0]}, there is {there}")
        values = {**self.defaults, **given}
        missing = [name for name in self.variables if name not in values]
        if missing:
            raise BadTemplateError(f"the template {self.name} needs a value of {missing[0]}")
        if question and not self.takes_input:
            raise BadTemplateError(f"the template {self.name} has no place for a question")
        values[INPUT] = question
        return Filled(
            system=Template(self.system).substitute(values), prompt=Template(self.prompt).substitute(values)
        )

    def _names(self) -> list[str]:
        both = Template(self.system).get_identifiers() + Template(self.prompt).get_identifiers()
        return list(dict.fromkeys(both))


def parse(text: str, name: str) -> NamedTemplate:
    """The template in the text of a file. Raises BadTemplateError."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTemplateError(f"{str(error)[:1].lower()}{str(error)[1:]}") from error
    fields = {key: value for key, value in found.items() if key in _KINDS}
    unknown = [key for key in found if key not in _KINDS]
    if unknown:
        raise BadTemplateError(f"{unknown[0]} is none of {', '.join(_KINDS)}")
    for key, value in fields.items():
        if not isinstance(value, _KINDS[key]):
            raise BadTemplateError(f"{key} must be {'text' if _KINDS[key] is str else f'a table, [{key}]'}")
    template = NamedTemplate(name=name, **fields)
    _check_texts(template)
    _check_tables(template)
    return template


_KINDS = {"description": str, "system": str, "prompt": str, "model": str, "options": dict, "defaults": dict}


def _check_texts(template: NamedTemplate) -> None:
    for key, text in (("system", template.system), ("prompt", template.prompt)):
        if not Template(text).is_valid():
            raise BadTemplateError(f"{key} has a $ without a name; a dollar sign is written $$")
    if not (template.system.strip() or template.prompt.strip()):
        raise BadTemplateError("the template says nothing")


def _check_tables(template: NamedTemplate) -> None:
    for name, number in template.options.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadTemplateError(f"option {name} must be a number")
    for name, text in template.defaults.items():
        if not isinstance(text, str):
            raise BadTemplateError(f"the default of {name} must be text")
        if name not in template.variables:
            raise BadTemplateError(f"there is a default of {name}, and ${name} does not occur")


@cache
def shipped() -> Mapping[str, NamedTemplate]:
    """The templates that come with this package, by name."""
    return MappingProxyType({name: parse(shipped_text(name), name) for name in SHIPPED})


def shipped_text(name: str) -> str:
    """The file of a shipped template."""
    return (files("prompts") / "templates" / f"{name}.toml").read_text(encoding="utf-8")
