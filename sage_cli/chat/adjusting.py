"""Commands about how questions are answered and shown: ollama's /set and /show, modes, models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.text import Text

from mch_runtime.errors import UsageError
from mch_runtime.options import SamplingOptions
from mch_runtime.trace import Mode
from sage_cli.chat.conversing import set_context
from sage_cli.chat.slash import Slash, chosen, count
from sage_cli.chat.talk import Talk
from sage_cli.modes import MODES
from sage_cli.render.safe import one_line, safe
from sage_cli.sampling_flags import OPTIONS
from sage_cli.values import whole_number

_LIMITS = ("max_tokens", "num_predict")
_SAMPLING: dict[str, Callable[[str, str], Any]] = {
    name: parse for name, parse in OPTIONS.items() if name not in _LIMITS
}
_PARAMETERS = (*_SAMPLING, *_LIMITS)


def set_something(talk: Talk, argument: str) -> None:
    """``/set WHAT VALUE``."""
    what, _, value = argument.partition(" ")
    change = _CHANGES[chosen(what, tuple(_CHANGES), what="setting")]
    change(talk, value.strip())


def _parameter(talk: Talk, argument: str) -> None:
    name, _, word = argument.partition(" ")
    if name == "num_ctx":
        raise UsageError("the context is as large as it was opened", hint="leave and give --ctx-size")
    chosen(name, _PARAMETERS, what="parameter")
    word = word.strip()
    if name in _LIMITS:
        talk.change(max_tokens=whole_number(name, word) if word not in {"-1", ""} else None)
    else:
        talk.change(sampling=_sampling(talk.conversation.options.sampling, name, word))
    talk.say(f"{name} is {word or 'as usual'}")


def _sampling(options: SamplingOptions, name: str, word: str) -> SamplingOptions:
    value = _SAMPLING[name](name, word) if word else getattr(SamplingOptions(), name)
    return replace(options, **{name: value})


def system(talk: Talk, argument: str) -> None:
    """Show or set the system prompt."""
    if not argument:
        talk.show(safe(talk.conversation.options.system) or "no system prompt")
        return
    text = "" if argument == "none" else argument
    talk.change(system=text)
    talk.say("system prompt set; it holds from the next question on" if text else "no system prompt")


def _reasoning(talk: Talk, argument: str) -> None:
    talk.look.reasoning = chosen(argument, ("show", "fold"), what="reasoning")  # type: ignore[assignment]
    talk.say(f"reasoning is {'shown' if argument == 'show' else 'folded to a line'}")


def mode(talk: Talk, argument: str) -> None:
    """Show or set how answers are looked for."""
    if not argument:
        effort = talk.effort
        talk.show(f"{effort.mode}, {effort.votes} votes" if effort.mode != "fast" else "fast")
        return
    word, _, votes = argument.partition(" ")
    wanted: Mode = chosen(word, MODES, what="mode")  # type: ignore[assignment]
    if wanted != "fast" and talk.conversation.policy == "landmark":
        raise UsageError(f"mode {wanted} needs the whole context", hint="/set context full")
    how_many = count(votes.strip(), what="number of votes", default=talk.effort.votes)
    talk.change(effort=replace(talk.effort, mode=wanted, votes=how_many))
    talk.say(f"mode is {wanted}" + (f", {how_many} votes at most" if wanted != "fast" else ""))


def _votes(talk: Talk, argument: str) -> None:
    mode(talk, f"{talk.effort.mode if talk.effort.mode != 'fast' else 'vote'} {argument}")


def _fold(talk: Talk, _argument: str) -> None:
    _reasoning(talk, "fold")


def _unfold(talk: Talk, _argument: str) -> None:
    _reasoning(talk, "show")


def _history(talk: Talk, _argument: str) -> None:
    talk.keeps_history = True
    talk.say("what you type is kept for the arrow keys")


def _no_history(talk: Talk, _argument: str) -> None:
    talk.keeps_history = False
    talk.say("what you type is not kept")


def _verbose(talk: Talk, _argument: str) -> None:
    talk.look.verbose = True
    talk.say("tokens and times are shown")


def _quiet(talk: Talk, _argument: str) -> None:
    talk.look.verbose = False
    talk.say("tokens and times are not shown")


_CHANGES: dict[str, Callable[[Talk, str], None]] = {
    "parameter": _parameter,
    "system": system,
    "reasoning": _reasoning,
    "context": set_context,
    "mode": mode,
    "votes": _votes,
    "think": _unfold,
    "nothink": _fold,
    "history": _history,
    "nohistory": _no_history,
    "verbose": _verbose,
    "quiet": _quiet,
}


def show(talk: Talk, argument: str) -> None:
    """``/show WHAT``."""
    what = chosen(argument or "info", tuple(_SHOWN), what="part")
    talk.show(_SHOWN[what](talk))


def _info(talk: Talk) -> Text:
    model = talk.engine.model
    rows = [
        ("model", " ".join(filter(None, (model.name, model.quantization)))),
        ("file", model.file),
        ("head", model.head or "none: nothing is calibrated"),
        ("context", f"{talk.engine.n_ctx:,} tokens, policy {talk.conversation.policy}"),
        ("mode", talk.effort.mode),
        ("fingerprint", model.fingerprint[:16]),
    ]
    rows += [("steered by", f"{one.file} at {one.scale:g}") for one in model.control_vectors]
    return _rows(rows)


def _parameters(talk: Talk) -> Text:
    options = talk.conversation.options
    sampling = options.sampling
    rows = [(name, str(getattr(sampling, name))) for name in _SAMPLING]
    rows = [(name, "drawn" if value == "None" else value) for name, value in rows]
    limit = str(options.max_tokens) if options.max_tokens else "until the context is full"
    return _rows([*rows, ("max_tokens", limit)])


def _rows(rows: list[tuple[str, str]]) -> Text:
    width = max(len(name) for name, _ in rows) + 2
    return Text("\n").join(Text(f"{name:<{width}}", "dim") + Text(one_line(value)) for name, value in rows)


_SHOWN: dict[str, Callable[[Talk], Text]] = {
    "info": _info,
    "parameters": _parameters,
    "system": lambda talk: Text(safe(talk.conversation.options.system) or "no system prompt"),
    "template": lambda talk: Text(safe(talk.engine.template)),
}

COMMANDS = (
    Slash(
        name="set",
        arguments="WHAT [VALUE]",
        help=f"one of {', '.join(_CHANGES)}",
        run=set_something,
        words={
            **dict.fromkeys(_CHANGES, ()),
            "parameter": _PARAMETERS,
            "reasoning": ("show", "fold"),
            "context": ("full", "landmark", "single"),
            "mode": MODES,
        },
    ),
    Slash(
        name="show",
        arguments=f"[{'|'.join(_SHOWN)}]",
        help="the model, its parameters, its system prompt, its chat template",
        run=show,
        words=dict.fromkeys(_SHOWN, ()),
    ),
    Slash(name="system", arguments="[TEXT | none]", help="show or set the system prompt", run=system),
    Slash(
        name="mode",
        arguments=f"[{'|'.join(MODES)} [VOTES]]",
        help="how answers are looked for",
        run=mode,
        words=dict.fromkeys(MODES, ()),
    ),
)
