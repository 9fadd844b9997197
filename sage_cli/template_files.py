"""Named templates: the user's own in a folder beside ``config.toml``, before those that come with sage."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mch_runtime.errors import DataError, MissingInputError, UsageError, file_error
from mch_runtime.files import read_regular_file
from prompts.named import (
    LARGEST,
    SHIPPED,
    BadTemplateError,
    Filled,
    NamedTemplate,
    parse,
    shipped,
    shipped_text,
)
from sage_cli.config import config_path
from sage_cli.render.safe import one_line

_SUFFIX = ".toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
PLAIN = NamedTemplate(name="")  # what is used where no template is named


def templates_folder(environ: Mapping[str, str]) -> Path:
    """Where the user's own templates are."""
    return config_path(environ).parent / "templates"


def template_file(environ: Mapping[str, str], name: str) -> Path:
    """The file of a user's template, there or not. Raises UsageError if the name is none."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{one_line(name) or 'the empty word'} is no name of a template",
            hint="letters, digits, - and _, at most 64",
        )
    return templates_folder(environ) / f"{name}{_SUFFIX}"


def own_names(environ: Mapping[str, str]) -> list[str]:
    """The names of the user's own templates."""
    try:
        found = sorted(path.name for path in templates_folder(environ).iterdir())
    except OSError:
        return []
    names = [name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)]
    return [name for name in names if _NAME.fullmatch(name)]


def text_of(environ: Mapping[str, str], name: str) -> str:
    """The file of a template as it is. Raises MissingInputError if there is none of that name."""
    path = template_file(environ, name)
    if path.exists():
        try:
            return read_regular_file(path, limit=LARGEST).decode()
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 text", hint=f"sage templates edit {name}") from None
    if name in SHIPPED:
        return shipped_text(name)
    near = difflib.get_close_matches(name, [*own_names(environ), *SHIPPED], n=1)
    hint = f"did you mean {near[0]}?" if near else "sage templates lists them"
    raise MissingInputError(f"there is no template {name}", hint=hint)


def load_template(environ: Mapping[str, str], name: str | None) -> NamedTemplate:
    """The template of that name, the plain one for None. Raises MissingInputError, DataError."""
    if name is None:
        return PLAIN
    if name in SHIPPED and not template_file(environ, name).exists():
        return shipped()[name]
    return parsed(text_of(environ, name), name)


def parsed(text: str, name: str) -> NamedTemplate:
    """The template in a text. Raises DataError."""
    try:
        return parse(text, name)
    except BadTemplateError as error:
        raise DataError(f"template {name}: {error}", hint=f"sage templates edit {name}") from error


def fill(template: NamedTemplate, question: str, words: Iterable[str]) -> Filled:
    """The template with a question and the values of ``-p NAME=VALUE``. Raises UsageError."""
    given: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise UsageError(f"-p {one_line(word)} is no NAME=VALUE", hint="-p language=French")
        if given.setdefault(name, value) != value:
            raise UsageError(f"{one_line(name)} is given twice", hint="give it once")
    if given and template is PLAIN:
        raise UsageError("-p is for variables of a template", hint="name one with -t")
    try:
        return template.fill(question, given)
    except BadTemplateError as error:
        raise UsageError(str(error), hint=f"sage templates show {template.name}") from error


def save_template(environ: Mapping[str, str], template: NamedTemplate) -> Path:
    """Write a new template of the user's own, whole or not at all; its file.

    Raises UsageError if there is one of that name or it is not one that could be read again, and errors of writing.
    """
    from sage_cli.toml_lines import edited

    text = ""
    for key in ("description", "system", "prompt", "model"):
        value = getattr(template, key)
        if value:
            text = edited(text, "", key, value)
    for name, number in template.options.items():
        text = edited(text, "options", name, number)
    try:
        parse(text, template.name)
    except BadTemplateError as error:
        raise UsageError(f"this makes no template: {error}", hint="see sage templates --help") from error
    path = template_file(environ, template.name)
    if path.exists():
        raise UsageError(
            f"there is a template {template.name} already", hint=f"sage templates edit {template.name}"
        )
    write_template(path, text)
    return path


def write_template(path: Path, text: str) -> None:
    """Write the file of a template. Raises FileError and its like."""
    from mch_runtime.atomic import atomic_output

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(error, "make the folder", path.parent) from error
    with atomic_output(path) as partial:
        partial.write_text(text, encoding="utf-8")
