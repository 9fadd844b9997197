"""How command lines are read beyond what Typer does: the default command, ``-o K V``, plain errors."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

from mch_runtime.errors import UsageError
from sage_cli.manual import Manual
from sage_cli.render.safe import one_line
from sage_cli.values import Coercion

if TYPE_CHECKING:
    from typer._click.core import Context

OPTION_FLAGS = frozenset({"-o", "--option"})
_END_OF_OPTIONS = "--"


class SageCommand(Manual, TyperCommand):
    """A command whose values are converted without pydantic and whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _convert_with(Coercion(), self.params)
        self.options_metavar = "[OPTIONS]"
        self.allow_extra_args = True  # to say it in our words

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
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
        return super().parse_args(ctx, fold_options(args, taking))

    def _too_many(self, ctx: Context, rest: Sequence[str]) -> UsageError:
        first = ctx.params.get("question")
        if ctx.parent is not None and first in _names(ctx.parent.command):
            return UsageError(f"the command {first} comes first", hint=f"sage {first} …, then its options")
        words = one_line(" ".join(rest))
        return UsageError(f"more than one question: {words}", hint="put the question in quotes")


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
    """A group of commands that must be named; ``default`` runs when none is."""

    default: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _convert_with(Coercion(), self.params)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if self.default is not None and self._needs_default(ctx, args):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def _needs_default(self, ctx: Context, args: Sequence[str]) -> bool:
        return not args or (args[0].startswith("-") and args[0] not in self._own_options(ctx))

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


class LogsGroup(SageGroup):
    """``sage logs`` lists."""

    default = "list"


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


def _convert_with(coercion: Coercion, params: Iterable[Any]) -> None:
    for param in params:
        param._runtime_param = coercion
