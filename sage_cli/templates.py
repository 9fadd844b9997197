"""``sage templates``: what is said around a question, under a name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from mch_runtime.errors import MissingInputError, SageError
from prompts.named import SHIPPED
from sage_cli.commands import ListGroup, SageCommand
from sage_cli.shell import Shell, shell_of
from sage_cli.template_files import (
    load_template,
    own_names,
    parsed,
    template_file,
    templates_folder,
    text_of,
    write_template,
)

NEW = """\
# In system and prompt, $input is the question, any other $name a variable that -p name=value
# gives, and $$ a dollar sign.
description = ""
system = ""
prompt = "$input"
# model = "an alias, a name of sage models, or a file"

[options]
# temperature = 0.7

[defaults]
# name = "value of a variable that is not given"
"""

EPILOG = """
A template is used with sage ask -t NAME, and made from flags with sage ask --save NAME. Its file is TOML: system,
prompt, model, description, and the tables options and defaults. What a flag says comes before the template.

  sage ask -s 'Translate into $language.' --save translate
  sage ask -t translate -p language=French "Good morning"
"""

app = typer.Typer(
    cls=ListGroup,
    rich_markup_mode=None,
    help="Named templates: what is said around a question. Without a command it lists them.",
    epilog=EPILOG,
    subcommand_metavar="[COMMAND] …",
    options_metavar="",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The template.")]


@app.command("list", cls=SageCommand)
def list_templates(ctx: typer.Context) -> int:
    """
    List templates: name, whose it is, what it does; separated by tabs in a pipe.

    Your own come before those that come with sage, and take their place if they have the same name.
    """
    shell = shell_of(ctx)
    rows = list(_rows(shell))
    if not shell.out_face.terminal:
        lines = ["\t".join(row) for row in rows]
    else:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        room = shell.out.width
        lines = [f"{name:{widths[0]}}  {whose:{widths[1]}}  {does}"[:room] for name, whose, does in rows]
    shell.out.write("".join(f"{line}\n" for line in lines))
    return 0


@app.command("show", cls=SageCommand)
def show(ctx: typer.Context, template: Name) -> int:
    """Print a template's file."""
    shell = shell_of(ctx)
    from sage_cli.render.safe import safe

    text = text_of(shell.environ, template)
    shell.out.write(safe(text) if shell.out_face.terminal else text)
    return 0


@app.command("path", cls=SageCommand)
def path(ctx: typer.Context) -> int:
    """Print where your own templates are."""
    shell = shell_of(ctx)
    shell.out.write(f"{templates_folder(shell.environ)}\n")
    return 0


@app.command("edit", cls=SageCommand)
def edit_template(ctx: typer.Context, template: Name) -> int:
    """
    Edit a template of your own, made if it is not there, in VISUAL or EDITOR.

    One that comes with sage is copied first. What cannot be read as a template is not kept.
    """
    shell = shell_of(ctx)
    target = template_file(shell.environ, template)
    before = text_of(shell.environ, template) if target.exists() or template in SHIPPED else NEW
    from sage_cli.editor import edited

    after = edited(before, shell.environ, name=target.name)
    if after == before:
        shell.note("nothing was changed")
        return 0
    parsed(after, template)
    write_template(target, after)
    shell.note(f"the template {template} is in {target}")
    return 0


@app.command("rm", cls=SageCommand)
def remove(ctx: typer.Context, template: Name) -> int:
    """Remove a template of your own; those that come with sage stay."""
    shell = shell_of(ctx)
    target = template_file(shell.environ, template)
    try:
        target.unlink()
    except FileNotFoundError:
        hint = "it comes with sage and stays" if template in SHIPPED else "sage templates lists them"
        raise MissingInputError(f"you have no template {template}", hint=hint) from None
    shell.note(f"the template {template} was removed")
    return 0


def _rows(shell: Shell) -> Iterator[tuple[str, str, str]]:
    from sage_cli.render.safe import one_line

    own = own_names(shell.environ)
    for name in own:
        try:
            does = load_template(shell.environ, name).description
        except SageError as error:
            does = error.message
        yield name, "yours", one_line(" ".join(does.split()))
    for name in SHIPPED:
        if name not in own:
            yield name, "sage", load_template(shell.environ, name).description
