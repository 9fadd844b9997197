"""``sage chat``: flags to a conversation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mch_runtime.errors import DataError
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from sage_cli import flags
from sage_cli.console import STDIN, same_terminal
from sage_cli.modes import ModeFlags, as_configured, with_room
from sage_cli.naming import chosen_model
from sage_cli.past import chosen_conversation
from sage_cli.question import from_argument
from sage_cli.sampling_flags import HELP, all_sampling, typed_sampling
from sage_cli.shell import Shell, shell_of
from sage_cli.template_files import load_template
from sage_cli.template_flags import first_said, for_conversation, keep_template
from sage_cli.values import vector_files

if TYPE_CHECKING:
    from sage_cli.chat.keyboard import Keyboard
    from sage_cli.chat.talk import Talk

EPILOG = f"""
Type a question; /? lists the commands, Ctrl-D leaves. Ctrl-C stops an answer and keeps what is there.

Every question is asked behind the ones before it, and only what is new is read. A conversation that
will not fit the context says so before it is asked; /forget drops the oldest turns, and
--context-policy landmark lets the past fade: the system prompt, the last tokens and every k-th one
before them stay. single asks every question by itself, which is what sage-pico was trained for and
its default.

{HELP}
What is piped in is asked line by line, and the answers go to standard output:
  printf 'How many …?\\n/steps\\n' | sage chat

Environment:
  SAGE_HISTORY              file that what is typed is kept in
  SAGE_KEYS=vi              vi keys instead of emacs keys
  VISUAL, EDITOR            what !edit and Ctrl-X Ctrl-E open
"""


def chat(
    ctx: typer.Context,
    *,
    model: flags.Model = None,
    hf: flags.HubModel = None,
    ctx_size: flags.CtxSize = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    control_vector: flags.ControlVectors = None,
    system: flags.System = "",
    max_tokens: flags.MaxTokens = None,
    stop: flags.Stop = None,
    seed: flags.Seed = None,
    option: flags.SamplingOption = None,
    go_on: flags.Continue = False,
    conversation: flags.Conversation = None,
    context_policy: flags.ContextPolicy = None,
    template: flags.TemplateName = None,
    param: flags.TemplateValue = None,
    save: flags.SaveTemplate = None,
    mode: flags.AnsweringMode = None,
    votes: flags.Votes = None,
    budget: flags.Budget = None,
    skepticism: flags.Skepticism = None,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    force_head: flags.ForceHead = False,
    fold: flags.Fold = False,
    no_log: flags.NoLog = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
    color: flags.Color = "auto",
) -> int:
    """
    Talk to a model: every question is asked behind the ones before it.

    On a terminal with history, completion and Markdown; on a pipe line by line. Answers go to standard
    output, everything else to standard error.
    """
    shell = shell_of(ctx)
    mode, votes = as_configured(ctx, mode, votes)
    effort = ModeFlags(mode=mode, votes=votes, budget=budget, skepticism=skepticism).effort()
    typed = typed_sampling(ctx, option or (), seed=seed, max_tokens=max_tokens)
    if save is not None:
        named = Path(hf) if hf else model
        return keep_template(ctx, save, question=None, system=system, model=named, options=typed)
    chosen = load_template(shell.environ, template)
    template_system, worded = for_conversation(chosen, param or ())
    if chosen.model and model is None and hf is None:
        model = Path(chosen.model)
    settings = all_sampling(ctx, typed, chosen.options, max_tokens=max_tokens)
    options = AskOptions(
        effort=effort,
        system=first_said(ctx, "system", from_argument(system), template_system),
        max_tokens=settings.pop("max_tokens", None),
        stop=tuple(map(from_argument, stop or ())),
        sampling=SamplingOptions(**settings),
    )
    past = chosen_conversation(shell, last=go_on, conversation=conversation)
    engine = EngineOptions(
        model=chosen_model(shell, model, hf, quiet=quiet),
        head=head,
        use_head=not no_head,
        force_head=force_head,
        ctx_size=ctx_size,
        threads=threads,
        gpu_layers=gpu_layers,
        control_vectors=vector_files(control_vector),
    )
    engine = with_room(engine, effort, batch=False)

    from sage_cli.chat.keeping import continue_logged
    from sage_cli.chat.record import Record
    from sage_cli.chat.talk import Look, Talk

    look = Look(reasoning="fold" if fold else "show", verbose=verbose and not quiet, quiet=quiet)
    record = Record(shell, wanted=not no_log, quiet=quiet)
    with Talk(shell, engine, options, record=record, look=look, worded=worded) as talk:
        talk.load(engine.model, context_policy)
        if past is not None:
            continue_logged(talk, past)
            said = template_system or talk.conversation.options.system
            talk.change(system=first_said(ctx, "system", options.system, said))
        return _run(shell, talk)


def _run(shell: Shell, talk: Talk) -> int:
    from sage_cli.chat.loop import DumbKeys, from_keyboard, from_pipe

    if shell.stdin_terminal() and same_terminal(shell.out, shell.err):
        talk.greet()
        dumb = shell.environ.get("TERM", "dumb") in {"dumb", "unknown"}
        return from_keyboard(talk, DumbKeys() if dumb else _keyboard(shell, talk))
    return from_pipe(talk, _lines())


def _keyboard(shell: Shell, talk: Talk) -> Keyboard:
    from sage_cli.chat.completion import SlashCompleter
    from sage_cli.chat.helping import TABLE
    from sage_cli.chat.keyboard import Keyboard
    from sage_cli.completion import ids, models

    completer = SlashCompleter(
        TABLE,
        models=lambda: [*models(shell.environ), *ids(shell.environ)],
        steps=lambda: len(talk.turns[-1].trace.steps) if talk.turns else 0,
    )
    return Keyboard(
        shell.environ,
        shell.err_face,
        shell.signals,
        completer=completer,
        toolbar=talk.toolbar,
        keeps_history=lambda: talk.keeps_history,
    )


def _lines() -> Iterator[str]:
    """Standard input, a line as soon as it is there. Raises DataError if it is not text."""
    with open(STDIN, "rb", closefd=False) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise DataError(
                    f"line {number} of standard input is not UTF-8 text", hint="convert it first"
                ) from None
