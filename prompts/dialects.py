"""How a model is spoken to, and where in its text the answer begins.

A dialect is a chat template with its reasoning markers. The shipped templates are rows of a table,
recognised by the SHA-256 of their text; any other template is taken as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Dialect:
    """A template and its markers.

    opens: text that begins the reasoning, "" if it begins at once; closes: text that ends it; what
    follows is the answer.
    trusted: the template is one of ours and may be rendered in this process.
    answer_prefix and answer_end: what a model that was trained to answer early is shown to make it do so, and what
    it writes behind the answer; "" for models that were not. inverse_role: the role whose message holds
    reasoning that the model was trained to find the question of, "" if it was not.
    """

    name: str
    template: str
    opens: str = "<think>"
    closes: str = "</think>"
    trusted: bool = False
    answer_prefix: str = ""
    answer_end: str = ""
    inverse_role: str = ""

    @property
    def sha256(self) -> str:
        """Of the template's text, hexadecimal."""
        return hashlib.sha256(self.template.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def shipped() -> dict[str, Dialect]:
    """The dialects of ``prompts/templates`` by name."""
    return {
        "sage-pico": Dialect(
            "sage-pico",
            template_text("sage-pico"),
            opens="",
            closes="Answer:",
            trusted=True,
            answer_prefix="Answer:",
            answer_end="<|end|>",
            inverse_role="inverse",
        ),
        "chatml": Dialect("chatml", template_text("chatml"), trusted=True),
    }


def template_text(name: str) -> str:
    """The text of a shipped template."""
    return (files("prompts") / "templates" / f"{name}.jinja").read_text(encoding="utf-8")


def dialect_of(template: str | None) -> Dialect:
    """The dialect of a model's own template; ChatML if it brings none."""
    if not template:
        return shipped()["chatml"]
    known = {dialect.sha256: dialect for dialect in shipped().values()}
    own = Dialect("custom", template)
    return known.get(own.sha256, own)
