"""How command lines are read beyond what Typer does: the default command, ``-o K V``, plain errors."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

from mch_runtime.errors import UsageError
from sage_cli.config import FlagDefaults
from sage_cli.manual import Manual
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell
from sage_cli.values import Coercion

if TYPE_CHECKING:
    from typer._click.core import Command, Context

OPTION_FLAGS = frozenset({"-o", "--option", "-p", "--param"})
_END_OF_OPTIONS = "--"
_COERCION = Coercion()
_DEFAULT = "sage.default"  # in a context's meta: the command was not named


class SageCommand(Manual, TyperCommand):
    """A command whose values are converted without pydantic and whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options_metavar = "[OPTIONS]"
        self.allow_extra_args = True  # to say it in our words

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        _convert_ourselves(self.get_params(ctx))
        if isinstance(ctx.obj, Shell) and not ctx.resilient_parsing:
            options = {param.name for param in self.params if param.param_type_name == "option"}
            ctx.default_map = FlagDefaults(ctx.obj.environ, options)
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise self._too_many(ctx, rest)
        return rest

    def _too_many(self, ctx: Context, rest: Sequence[str]) -> UsageError:
        words = one_line(" ".join(rest))
        return UsageError(f"too many arguments: {words}", hint=f"see {ctx.command_path} --help")


class GenerateCommand(SageCommand):
    """A command that generates text: ``-o K V`` is ``-o K=V``, and its argument is a question."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        taking = {name for p in self.params if not getattr(p, "is_flag", True) for name in p.opts}
        rest = super().parse_args(ctx, fold_options(args, taking))
        if _DEFAULT in ctx.meta and not ctx.resilient_parsing:
            self._refuse_command(ctx)
        return rest

    def _too_many(self, ctx: Context, rest: Sequence[str]) -> UsageError:
        self._refuse_command(ctx)
        words = one_line(" ".join(rest))
        return UsageError(f"more than one question: {words}", hint="put the question in quotes")

    def _refuse_command(self, ctx: Context) -> None:
        """``sage -m FILE logs`` is no question."""
        word = ctx.params.get("question")
        if ctx.parent is not None and word in list(_names(ctx.parent.command)):
            raise UsageError(f"the command {word} comes before its options", hint=f"sage {word} …")


def fold_options(args: Sequence[str], taking_value: Set[str]) -> list[str]:
    """``-o K V`` as ``-o K=V``; ``taking_value`` names the options whose next word is their value.

    Typer cannot repeat an option of two values.
    """
    words = iter(args)
    folded: list[str] = []
    for word in words:
        folded.append(word)
        if word == _END_OF_OPTIONS:
            break
        if word in OPTION_FLAGS:
            key = next(words, None)
            if key is None:
                break
            value = None if "=" in key else next(words, None)
            folded.append(key if value is None else f"{key}={value}")
        elif word in taking_value:
            folded.extend(itertools.islice(words, 1))
    return [*folded, *words]


class SageGroup(Manual, TyperGroup):
    """A group of commands; when none is named, ``default`` runs, or the help page is shown."""

    default: str | None = None

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        _convert_ourselves(self.get_params(ctx))
        if self.default is not None and self._needs_default(ctx, args):
            args = [self.default, *args]
            ctx.meta[_DEFAULT] = True
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if (
            args
            and args[0] not in self.commands
            and not args[0].startswith("-")
            and not ctx.resilient_parsing
        ):
            raise _no_command(ctx, args[0], self.commands)
        return super().resolve_command(ctx, args)

    def _needs_default(self, ctx: Context, args: Sequence[str]) -> bool:
        if not args:
            return not ctx.resilient_parsing  # completing the first word
        return args[0].startswith("-") and args[0] not in self._own_options(ctx)

    def _own_options(self, ctx: Context) -> set[str]:
        return {name for param in self.get_params(ctx) for name in param.opts}


class RootGroup(SageGroup):
    """``sage``: what is no command is a question, so ``ask`` may be left out."""

    default = "ask"

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing and _at_terminal(ctx):
            args = ["--help"]
        return super().parse_args(ctx, args)

    def _needs_default(self, ctx: Context, args: Sequence[str]) -> bool:
        if ctx.resilient_parsing and (not args or args[0].startswith("-")):
            return False  # completing the first word: commands and the root's own options
        if args and args[0] not in self.commands and args[0].isalpha():
            _refuse_misspelled(args[0], self.commands)
        return not args or (args[0] not in self.commands and args[0] not in self._own_options(ctx))


class ListGroup(SageGroup):
    """A group whose commands are about a collection: without one, it lists."""

    default = "list"


def _no_command(ctx: Context, word: str, commands: Iterable[str]) -> UsageError:
    near = difflib.get_close_matches(word, commands, n=1)
    hint = f"did you mean {near[0]}?" if near else f"see {ctx.command_path} --help"
    return UsageError(f"there is no command {ctx.command_path} {one_line(word)}", hint=hint)


def _refuse_misspelled(word: str, commands: Iterable[str]) -> None:
    """A lone word that is nearly a command is a mistake more often than a question."""
    for name in difflib.get_close_matches(word, commands, n=1, cutoff=0.75):
        raise UsageError(
            f"there is no command {word}; did you mean {name}?",
            hint=f"to ask it as a question: sage ask {word}",
        )


def _at_terminal(ctx: Context) -> bool:
    return ctx.obj is None or bool(ctx.obj.stdin_terminal())


def _names(command: object) -> Iterable[str]:
    return command.commands if isinstance(command, TyperGroup) else ()


def _convert_ourselves(params: Iterable[Any]) -> None:
    """Also those that Typer adds to a command after it was made, such as --help."""
    for param in params:
        param._runtime_param = _COERCION
