"""Commands about what was said: again, back, forget, files, the context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.text import Text

from mch_runtime.conversation import POLICIES, Policy
from mch_runtime.effort import Effort
from mch_runtime.errors import FileError, UsageError, file_error
from mch_runtime.options import Landmarks
from sage_cli.chat.slash import Slash, chosen, count, first_word
from sage_cli.chat.talk import Leave, Talk
from sage_cli.question import from_argument
from sage_cli.render.safe import one_line
from sage_cli.render.terminal import details

WARM = 0.8  # the temperature of an answer drawn again where it would otherwise be the same
_LARGEST_FILE = 1 << 20  # bytes


def regen(talk: Talk, _argument: str) -> None:
    """The last question again."""
    options = talk.conversation.options
    if options.sampling.temperature == 0:
        talk.say(f"at temperature 0 the answer would be the same: drawn at {WARM}")
        sampling = replace(options.sampling, temperature=WARM, seed=None)
        talk.again(options=replace(options, sampling=sampling))
    else:
        talk.again(options=replace(options, sampling=replace(options.sampling, seed=None)))


def undo(talk: Talk, argument: str) -> None:
    """Take turns back."""
    for _ in range(min(count(argument, what="number of turns", default=1), max(1, len(talk.turns)))):
        turn = talk.conversation.undo()
        talk.record.withdraw()
        talk.forget_explanations()
        talk.say(f"taken back: {one_line(turn.question)[:60]}")


def forget(talk: Talk, argument: str) -> None:
    """Drop the oldest turns from what the model sees."""
    gone = talk.conversation.forget(count(argument, what="number of turns", default=1))
    talk.say(f"{gone} of the oldest turns forgotten, {len(talk.turns)} left" if gone else "nothing to forget")


def clear(talk: Talk, _argument: str) -> None:
    """Begin anew."""
    talk.conversation.turns.clear()
    talk.record.restart()
    talk.forget_explanations()
    talk.say("a new conversation begins")


def read(talk: Talk, argument: str) -> None:
    """Ask about a file: its text, a blank line, the question."""
    word, question = first_word(argument)
    if not word:
        raise UsageError("which file?", hint="/read FILE [QUESTION]")
    text = _text(Path(word).expanduser())
    talk.ask(f"{text}\n\n{question}" if question else text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise file_error(error, "read", path) from error
    if len(data) > _LARGEST_FILE:
        raise FileError(f"{path} is longer than 1 MiB", hint="give a part of it")
    return from_argument(data.decode("utf-8", "surrogateescape")).strip()


def context(talk: Talk, argument: str) -> None:
    """What takes up the context; with a word, how it is used."""
    if argument:
        set_context(talk, argument)
        return
    policy = talk.conversation.policy
    lines = [Text(f"{talk.room().plain}, policy {policy}", "bold")]
    if policy == "landmark":
        rule = talk.conversation.landmarks
        lines.append(Text(f"in the cache the last {rule.window:,} tokens, before them every {rule.every}th"))
    for place, turn in enumerate(talk.turns, start=1):
        mark = " (interrupted)" if turn.interrupted else ""
        lines.append(Text(f"{place:>3}  {one_line(turn.question)[:60]}{mark}"))
    if talk.pending:
        fit = talk.conversation.fits(talk.worded(talk.pending))
        drop = f"/forget {fit.drop} makes room" if fit.drop else "too long for this context"
        lines.append(Text(f"waiting: a question with which it has {fit.needed:,} tokens; {drop}", "yellow"))
    talk.show(Text("\n").join(lines))


def set_context(talk: Talk, argument: str) -> None:
    """``full``, ``landmark [WINDOW [EVERY]]`` or ``single``."""
    word, *numbers = argument.split()
    policy: Policy = chosen(word, POLICIES, what="policy")  # type: ignore[assignment]
    if policy == "landmark":
        values = [count(number, what="number of tokens") for number in numbers[:2]]
        usual = Landmarks(window=max(16, min(512, talk.engine.n_ctx // 4)))
        window, every = [*values, *(usual.window, usual.every)[len(values) :]]
        talk.conversation.landmarks = Landmarks(window=window, every=every)
        if talk.effort.mode != "fast":
            talk.change(effort=Effort())
            talk.say("mode is fast now: the others need the whole context")
    talk.conversation.policy = policy
    talk.say(
        {
            "full": "the model sees every turn",
            "landmark": "what is old fades to every k-th token once the context is full",
            "single": "every question is asked by itself",
        }[policy]
    )


def stats(talk: Talk, _argument: str) -> None:
    """Tokens, times and sampling of the last answer."""
    trace = talk.last.trace
    cost = trace.cost
    new = max(cost.prompt_tokens - cost.cached_tokens, 0)
    cached = Text(f"{'cache':<11}", "dim") + Text(
        f"{cost.cached_tokens:,} tokens were there, {new:,} of the prompt {'was' if new == 1 else 'were'} read"
    )
    talk.show(details(trace) + Text("\n") + cached)


def bye(_talk: Talk, _argument: str) -> None:
    """Leave."""
    raise Leave


COMMANDS = (
    Slash(name="regen", help="answer the last question again", run=regen, also=("regenerate", "retry")),
    Slash(name="undo", arguments="[N]", help="take back the last question and its answer", run=undo),
    Slash(name="forget", arguments="[N]", help="drop the oldest turns", run=forget),
    Slash(name="clear", help="begin a new conversation", run=clear, also=("new",)),
    Slash(name="read", arguments="FILE [QUESTION]", help="ask about a file", run=read, completes="file"),
    Slash(
        name="context",
        arguments="[full|landmark|single]",
        help="what takes up the context; how it is used",
        run=context,
        words=dict.fromkeys(POLICIES, ()),
    ),
    Slash(name="stats", help="tokens and times of the last answer", run=stats),
    Slash(name="bye", help="leave, as Ctrl-D does", run=bye, also=("exit", "quit")),
)
