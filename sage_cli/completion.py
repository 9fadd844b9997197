"""Completion of command lines: what may stand at the cursor, and the scripts that ask for it.

A shell runs ``sage`` with _SAGE_COMPLETE=SHELL and the words up to the cursor; it gets a line for each candidate, and
exit code 1 if names of files belong there too. Typer's own scripts split the words a second time and load Rich for
zsh and fish, which takes longer than everything else; hence ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from mch_runtime.errors import SageError
from sage_cli.commands import SageGroup
from sage_cli.manual import first_sentence
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

VARIABLE = "_SAGE_COMPLETE"
FILES_TOO = 1
ShellName = Literal["bash", "zsh", "fish"]
_MOST_IDS = 50
_LONGEST_HELP = 60

SCRIPTS: Mapping[str, str] = {
    "bash": """\
_sage_completion() {
    local IFS=$'\\n' files=0 candidates
    candidates=$(_SAGE_COMPLETE=bash "$1" "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null) || files=1
    COMPREPLY=($candidates)
    if ((files)); then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$2"))
    elif [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _sage_completion sage sage-cli
""",
    "zsh": """\
#compdef sage sage-cli
_sage() {
    local output code
    local -a candidates
    output=$(_SAGE_COMPLETE=zsh "${words[1]}" "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    code=$?
    if [[ -n $output ]]; then
        candidates=("${(@f)output}")
        _describe 'sage' candidates
    fi
    ((code)) && _files
}
if [[ ${funcstack[1]} == _sage ]]; then _sage "$@"; else compdef _sage sage sage-cli; fi
""",
    "fish": """\
function __sage_candidates
    set -l words (commandline -opc) (commandline -ct)
    _SAGE_COMPLETE=fish $words[1] $words[2..-1] 2>/dev/null
    or __fish_complete_path (commandline -ct)
end
complete -c sage -f -a '(__sage_candidates)'
complete -c sage-cli -f -a '(__sage_candidates)'
""",
}

EPILOG = """
To have it in every new shell:

  bash   sage completion bash > ~/.local/share/bash-completion/completions/sage
  zsh    sage completion zsh > DIR/_sage, in a DIR that is in your $fpath
  fish   sage completion fish > ~/.config/fish/completions/sage.fish

For this shell alone: eval "$(sage completion bash)".
"""


@dataclass(frozen=True)
class Candidate:
    """A word that may stand at the cursor, and what it is."""

    word: str
    help: str = ""


@dataclass(frozen=True)
class Candidates:
    """What may stand at the cursor. files: names of files may, too."""

    words: tuple[Candidate, ...] = ()
    files: bool = False


def completion(
    ctx: typer.Context,
    shell_name: Annotated[ShellName, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the script that completes sage's commands, flags, models, ids and templates in a shell."""
    shell_of(ctx).out.write(SCRIPTS[shell_name])
    return 0


def answer_shell(shell: Shell, root: SageGroup, argv: Sequence[str]) -> int:
    """Tell the shell that asked; the exit code. What goes wrong is silence."""
    name = shell.environ.get(VARIABLE, "")
    if name not in get_args(ShellName):
        return 0
    words, typed = _bash_words(argv) if name == "bash" else (list(argv), None)
    try:
        found = complete(root, words[:-1], words[-1] if words else "", shell.environ)
    except SageError:
        return FILES_TOO
    lines = [_LINES[name](candidate) for candidate in found.words]
    if typed is not None:  # bash replaces only what follows the last = or :
        lines = [line[len(words[-1]) - len(typed) :] for line in lines]
    shell.out.write("".join(f"{line}\n" for line in lines))
    return FILES_TOO if found.files else 0


def complete(
    root: SageGroup, before: Sequence[str], incomplete: str, environ: Mapping[str, str]
) -> Candidates:
    """What may stand for ``incomplete`` behind the words before it, program's name left out."""
    command, rest = _command_at(root, before)
    flags = tuple(_flags(command))
    if isinstance(command, SageGroup) and command.default is not None and incomplete.startswith("-"):
        command = command.commands[command.default]
        flags += tuple(_flags(command))
    flag = _waiting_for_value(command, rest)
    name, equals, value = incomplete.partition("=")
    if flag is not None:
        found = _values(flag, environ)
    elif equals and (flag := _option(command, name)) is not None:
        return _beginning_with(_values(flag, environ), value, prefix=f"{name}=")
    elif incomplete.startswith("-") and "--" not in rest:
        found = Candidates(tuple(dict.fromkeys(flags)))
    elif isinstance(command, SageGroup):
        found = Candidates(tuple(_subcommands(command)))
    else:
        found = _values(_argument(command, rest), environ)
    return _beginning_with(found, incomplete)


def _beginning_with(found: Candidates, start: str, *, prefix: str = "") -> Candidates:
    words = tuple(Candidate(prefix + c.word, c.help) for c in found.words if c.word.startswith(start))
    return Candidates(words, found.files)


def _command_at(root: SageGroup, before: Sequence[str]) -> tuple[Any, list[str]]:
    """The command that the words name, its default where they name none, and the words behind it."""
    group: Any = root
    rest = list(before)
    while isinstance(group, SageGroup) and rest:
        word = rest[0]
        if word in group.commands:
            group = group.commands[word]
        elif group.default is not None:
            return group.commands[group.default], rest
        rest.pop(0)
    return group, rest


def _params(command: Any) -> list[Any]:
    return list(command.get_params(command.context_class(command)))


def _waiting_for_value(command: Any, rest: Sequence[str]) -> Any | None:
    """The option whose value comes next."""
    if not rest or "--" in rest[:-1]:
        return None
    option = _option(command, rest[-1])
    return option if option is not None and _takes_value(option) else None


def _option(command: Any, name: str) -> Any | None:
    options = (param for param in _params(command) if param.param_type_name == "option")
    return next((option for option in options if name in option.opts), None)


def _takes_value(option: Any) -> bool:
    return not (option.is_flag or option.count)


def _flags(command: Any) -> Iterator[Candidate]:
    for param in _params(command):
        if param.param_type_name == "option" and not param.hidden:
            yield Candidate(max(param.opts, key=len), param.help or "")


def _subcommands(group: SageGroup) -> Iterator[Candidate]:
    for name, command in group.commands.items():
        if not command.hidden:
            yield Candidate(name, first_sentence(command))


def _argument(command: Any, rest: Sequence[str]) -> Any | None:
    """The argument whose turn it is; the last one may be repeated."""
    arguments = [param for param in _params(command) if param.param_type_name == "argument"]
    words = iter(rest)
    given = 0
    for word in words:
        if word.startswith("-") and len(word) > 1:
            option = _option(command, word)
            if option is not None and _takes_value(option):
                next(words, None)
        else:
            given += 1
    repeated = bool(arguments) and arguments[-1].type_descriptor.is_list
    if given >= len(arguments):
        return arguments[-1] if repeated else None
    return arguments[given]


def _values(param: Any | None, environ: Mapping[str, str]) -> Candidates:
    """What a parameter may be: its choices, or what there is of its kind."""
    if param is None:
        return Candidates()
    kind = param.type_descriptor
    if kind.choices is not None:
        return Candidates(tuple(Candidate(str(choice)) for choice in kind.choices))
    source = _SOURCES.get(param.name)
    words = tuple(source(environ)) if source else ()
    return Candidates(words, files=kind.annotation is Path or param.name in _FILES_TOO)


def models(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """The embedded model, aliases, models in the hub's cache."""
    from sage_cli.config import aliases
    from sage_cli.naming import EMBEDDED

    yield Candidate(EMBEDDED, "the embedded model")
    for name, target in aliases(environ, forgiving=True).items():
        yield Candidate(name, target)
    yield from hub_models(environ)


def hub_models(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """Models in the hub's cache."""
    from convert.hub_cache import cache_folder, cached_models

    for model in cached_models(cache_folder(environ)):
        yield Candidate(model.name, "downloaded")


def templates(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """The user's own templates, then those that come with sage."""
    from prompts.named import SHIPPED
    from sage_cli.template_files import own_names

    own = own_names(environ)
    yield from (Candidate(name, "yours") for name in own)
    yield from (Candidate(name, "comes with sage") for name in SHIPPED if name not in own)


def ids(environ: Mapping[str, str]) -> Iterator[Candidate]:
    """The last answers of the log, which is only read: nothing is made, moved or brought up to date."""
    import sqlite3
    from urllib.parse import quote

    from sage_cli.log_file import log_path

    path, _ = log_path(environ)
    query = "SELECT id, question FROM answers ORDER BY number DESC LIMIT ?"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0.2)) as db:
            rows = db.execute(query, (_MOST_IDS,)).fetchall()
    except sqlite3.Error:
        return
    yield from (Candidate(identifier, question) for identifier, question in rows)


_SOURCES: Mapping[str, Callable[[Mapping[str, str]], Iterator[Candidate]]] = {
    "model": models,
    "hf": hub_models,
    "template": templates,
    "identifier": ids,
    "identifiers": ids,
    "conversation": ids,
    "source": ids,
}
_FILES_TOO = {"source", "control_vector"}


def _bash_words(argv: Sequence[str]) -> tuple[list[str], str]:
    """The words of the line up to the cursor, and the part of the last one that bash would replace."""
    line, typed = (*argv, "", "")[:2]
    words: list[str] = []
    for closed in ("", '"', "'"):  # a quotation that is open ends at the cursor
        try:
            words = shlex.split(f"{line}{closed}")
        except ValueError:
            continue
        if not closed and line[-1:].isspace():
            words.append("")
        break
    return words[1:] or [""], typed


def _help(candidate: Candidate) -> str:
    text = one_line(" ".join(candidate.help.split()))
    return text if len(text) <= _LONGEST_HELP else f"{text[: _LONGEST_HELP - 1]}…"


def _zsh_line(candidate: Candidate) -> str:
    word = candidate.word.replace("\\", "\\\\").replace(":", "\\:")
    return f"{word}:{_help(candidate)}" if candidate.help else word


def _fish_line(candidate: Candidate) -> str:
    return f"{candidate.word}\t{_help(candidate)}" if candidate.help else candidate.word


_LINES: Mapping[str, Callable[[Candidate], str]] = {
    "bash": lambda candidate: candidate.word,
    "zsh": _zsh_line,
    "fish": _fish_line,
}
