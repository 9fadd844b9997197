"""The tree of commands."""

from __future__ import annotations

import difflib
import platform
from typing import Annotated, Any, cast

import typer

from mch_runtime.errors import UsageError
from sage_cli import (
    ask,
    bench,
    completion,
    evaluate,
    explain,
    files,
    heads,
    logs,
    models,
    pulling,
    quality,
    quantizing,
    settings,
    templates,
)
from sage_cli.chat import command as chat
from sage_cli.commands import GenerateCommand, RootGroup, SageCommand
from sage_cli.shell import Shell, shell_of

NAME = "sage"

HELP = """
Ask a local language model, and see how far each step of its answer can be trusted.

  sage "Jane has 2 apples. Hugo has 3 more apples than Jane. How many has Hugo?"
  cat report.txt | sage "Summarise this in two sentences."
  sage ask "…" --fail-under 0.9 || echo "ask somebody else"
  sage explain

What is not a command is a question: sage "…" is sage ask "…". The answer goes to standard output;
steps, confidence and everything else go to standard error.
"""

EPILOG = """
Environment:
  SAGE_MODEL                model to ask instead of the embedded sage-pico
  SAGE_CONFIG               file of settings; see sage config path
  SAGE_LOG                  file that answers are kept in; see sage logs path
  SAGE_DEBUG=1              show where an internal error happened
  NO_COLOR, FORCE_COLOR     never, always use colour
"""

app = typer.Typer(
    name=NAME,
    cls=RootGroup,
    help=HELP,
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND | QUESTION] …",
    options_metavar="",
)


def _print_version(ctx: typer.Context, *, wanted: bool) -> None:
    if wanted:
        parts = [f"llama-cpp-python {_version('llama-cpp-python')}", f"Python {platform.python_version()}"]
        shell_of(ctx).out.write(f"sage {_version('sage-cli')} ({', '.join(parts)})\n")
        raise typer.Exit


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda ctx, value: _print_version(ctx, wanted=value),
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


_ANSWERS = "Answers"
_MODELS = "Models"
_FILES = "Files and heads"
_MEASURES = "Measurements"
_KEPT = "Log, templates, settings"

app.command("ask", cls=GenerateCommand, epilog=ask.EPILOG, rich_help_panel=_ANSWERS)(ask.ask)
app.command("chat", cls=GenerateCommand, epilog=chat.EPILOG, rich_help_panel=_ANSWERS)(chat.chat)
app.command("explain", cls=SageCommand, epilog=explain.EPILOG, rich_help_panel=_ANSWERS)(explain.explain)
app.add_typer(models.app, name="models", rich_help_panel=_MODELS)
app.command("pull", cls=SageCommand, epilog=pulling.EPILOG, rich_help_panel=_MODELS)(pulling.pull)
app.command("show", cls=SageCommand, rich_help_panel=_MODELS)(models.show)
app.command("rm", cls=SageCommand, rich_help_panel=_MODELS)(models.remove)
app.command("alias", cls=SageCommand, rich_help_panel=_MODELS)(models.alias)
app.command("convert", cls=SageCommand, rich_help_panel=_FILES)(files.convert)
app.command("quantize", cls=SageCommand, epilog=quantizing.EPILOG, rich_help_panel=_FILES)(
    quantizing.quantize
)
app.add_typer(heads.app, name="head", rich_help_panel=_FILES)
app.command("eval", cls=SageCommand, epilog=evaluate.EPILOG, rich_help_panel=_MEASURES)(evaluate.evaluate)
app.command("bench", cls=SageCommand, epilog=bench.EPILOG, rich_help_panel=_MEASURES)(bench.bench)
app.command("quality", cls=SageCommand, epilog=quality.EPILOG, rich_help_panel=_MEASURES)(quality.quality)
app.add_typer(logs.app, name="logs", rich_help_panel=_KEPT)
app.add_typer(templates.app, name="templates", rich_help_panel=_KEPT)
app.add_typer(settings.app, name="config", rich_help_panel=_KEPT)
app.command("completion", cls=SageCommand, epilog=completion.EPILOG, rich_help_panel=_KEPT)(
    completion.completion
)


def invoke(argv: list[str], shell: Shell) -> int:
    """Run a command line and return its exit code. Raises SageError, OSError, Stopped."""
    command = typer.main.get_command(app)
    if completion.VARIABLE in shell.environ:
        return completion.answer_shell(shell, cast("RootGroup", command), argv)
    try:
        with command.make_context(NAME, argv, obj=shell, color=shell.out_face.color) as ctx:
            return command.invoke(ctx) or 0
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        raise _usage_error(error) from None


def _usage_error(error: typer.TyperException) -> UsageError:
    """Typer's errors in our form: a sentence, and where to look."""
    context = getattr(error, "ctx", None)
    see = f"see {context.command_path if context else NAME} --help"
    missing = getattr(error, "param", None)
    if missing is not None and not error.message:
        return UsageError(f"{_name(missing)} is missing", hint=see)
    option = getattr(error, "option_name", None)
    if option is None:
        return UsageError(_sentence(error.format_message()), hint=see)
    if not hasattr(error, "possibilities"):
        return UsageError(f"{option} {_complaint(error.message)}", hint=see)
    near = difflib.get_close_matches(option, error.possibilities or (), n=1, cutoff=0.7)
    return UsageError(f"there is no option {option}", hint=f"did you mean {near[0]}?" if near else see)


def _name(param: Any) -> str:
    return param.display_name_raw if param.param_type_name == "argument" else "/".join(param.opts)


def _sentence(message: str) -> str:
    message = message.rstrip(".")
    return message[:1].lower() + message[1:]


def _complaint(message: str) -> str:
    return "takes no value" if "does not take" in message else "needs a value"
