"""``sage ask``: flags to options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mch_runtime.errors import UsageError
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from sage_cli import flags
from sage_cli.config import is_configured
from sage_cli.console import STDIN
from sage_cli.modes import ModeFlags, as_configured, with_room
from sage_cli.naming import chosen_model
from sage_cli.past import chosen_past
from sage_cli.question import from_argument, join, read_piped
from sage_cli.sampling_flags import HELP, all_sampling, typed_sampling
from sage_cli.shell import Shell, shell_of
from sage_cli.template_files import fill, load_template
from sage_cli.template_flags import first_said, keep_template
from sage_cli.threshold import threshold
from sage_cli.values import vector_files

EPILOG = f"""
Marks:
  ● 0.97   0.90 and more: sure
  ◐ 0.74   0.50 and more: likely
  ○ 0.31   less: doubtful

The mark behind a step is the probability that this step is valid; the mark behind the answer, and the
last line, say how likely the answer is right. Without a head there are no such numbers: the mean
log-probability of the tokens stands in their place and is called uncalibrated.

Modes:
  fast      one chain, the default
  vote      several chains, and the answer that most of their weight is behind
  think     other steps where one is in doubt, then votes
  auto      one chain, and more only where the head doubts it

{HELP}
Piped input comes first, then a blank line, then QUESTION. In a loop such as
while read q; do sage "$q"; done the first call would read the other questions: add --no-stdin.

Exit codes:
  0    answered
  1    no answer found in the text, or failed otherwise
  2    wrong usage
  3    confidence under --fail-under, or not known
  4    inverse consistency under --fail-under-ics, or not known
  5    no majority, with --require-majority
  65   bad data: model, head or input refused
  66   no such file
  69   llama-cpp-python is not installed, or the network failed
  70   internal error
  71   out of memory
  74   reading or writing failed
  77   no permission
  130  interrupted
  141  nobody read the answer
"""


def ask(
    ctx: typer.Context,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What to ask; piped input is put in front of it.")
    ] = None,
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
    template: flags.TemplateName = None,
    param: flags.TemplateValue = None,
    save: flags.SaveTemplate = None,
    mode: flags.AnsweringMode = None,
    votes: flags.Votes = None,
    budget: flags.Budget = None,
    skepticism: flags.Skepticism = None,
    deterministic: flags.Deterministic = False,
    jsonl: flags.Jsonl = False,
    no_stdin: flags.NoStdin = False,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    force_head: flags.ForceHead = False,
    fail_under: flags.FailUnder = None,
    fail_under_ics: flags.FailUnderIcs = None,
    require_majority: flags.RequireMajority = False,
    show_votes: flags.ShowVotes = False,
    resume: flags.ResumeFile = None,
    as_json: flags.AsJson = False,
    no_stream: flags.NoStream = False,
    no_log: flags.NoLog = False,
    safe_output: flags.SafeOutput = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
    color: flags.Color = "auto",
) -> int:
    """
    Ask one question.

    The answer goes to standard output, and nothing else does; with --json it is one object, the trace
    (sage.trace/1). Steps, confidence and statistics go to standard error.
    """
    shell = shell_of(ctx)
    mode, votes = as_configured(ctx, mode, votes)
    effort = ModeFlags(
        mode=mode,
        votes=votes,
        budget=budget,
        skepticism=skepticism,
        show_votes=show_votes,
        require_majority=require_majority,
        fail_under_ics=fail_under_ics,
    ).effort()
    if jsonl:
        if is_configured(ctx, "template"):
            template = None
        _check_batch(shell, question, template, no_stdin=no_stdin)
    elif resume is not None:
        raise UsageError("--resume continues a batch", hint="add --jsonl")
    typed = typed_sampling(ctx, option or (), seed=seed, max_tokens=max_tokens)
    if save is not None:
        named = Path(hf) if hf else model
        return keep_template(ctx, save, question=question, system=system, model=named, options=typed)
    chosen = load_template(shell.environ, template)
    needed = chosen.takes_input and not jsonl
    asked = _question(shell, question, use_stdin=not (no_stdin or jsonl), needed=needed)
    filled = fill(chosen, asked, map(from_argument, param or ()))
    if chosen.model and model is None and hf is None:
        model = Path(chosen.model)
    settings = all_sampling(ctx, typed, chosen.options, max_tokens=max_tokens)
    if deterministic:
        settings.setdefault("seed", 0)
    past = chosen_past(shell, last=go_on, conversation=conversation)
    ask_options = AskOptions(
        system=first_said(ctx, "system", from_argument(system), filled.system or past.system),
        past=past.messages,
        max_tokens=settings.pop("max_tokens", None),
        stop=tuple(map(from_argument, stop or ())),
        sampling=SamplingOptions(**settings),
        effort=effort,
    )
    fail_under = threshold(ctx, fail_under, use_head=not no_head)
    engine_options = EngineOptions(
        model=chosen_model(shell, model, hf, quiet=quiet),
        head=head,
        use_head=not no_head,
        force_head=force_head,
        ctx_size=ctx_size,
        threads=threads,
        gpu_layers=gpu_layers,
        control_vectors=vector_files(control_vector),
        deterministic=deterministic,
    )
    engine_options = with_room(engine_options, effort, batch=jsonl)

    from sage_cli.answering import Display, answer

    display = Display(
        as_json=as_json,
        stream=not no_stream,
        log=not no_log,
        quiet=quiet,
        verbose=verbose and not quiet,
        make_safe=safe_output,
        fail_under=fail_under,
        fail_under_ics=fail_under_ics,
        require_majority=require_majority,
        show_votes=show_votes and not jsonl,
        conversation=past.conversation,
    )
    if jsonl:
        from sage_cli.batch import answer_batch

        return answer_batch(shell, engine_options, ask_options, display, resume=resume)
    return answer(shell, filled.prompt, engine_options, ask_options, display)


def _check_batch(shell: Shell, question: str | None, template: str | None, *, no_stdin: bool) -> None:
    """Raises UsageError where the questions of a batch cannot come from."""
    if question is not None:
        raise UsageError("--jsonl reads its questions from standard input", hint="leave QUESTION out")
    if template is not None:
        raise UsageError("--jsonl and --template contradict each other", hint="give one of them")
    if no_stdin or shell.stdin_terminal():
        raise UsageError("--jsonl has no questions to read", hint="sage ask --jsonl < questions.jsonl")


def _question(shell: Shell, argument: str | None, *, use_stdin: bool, needed: bool) -> str:
    piped = "" if shell.stdin_terminal() or not use_stdin else read_piped(STDIN)
    said = from_argument(argument or "")
    return join(piped, said) if needed or piped or said else ""
