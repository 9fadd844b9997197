"""``sage explain``: flags to options."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated

import typer

from mch_runtime.errors import DataError, UsageError
from mch_runtime.options import EngineOptions, ExplainOptions
from sage_cli import flags
from sage_cli.naming import chosen_model
from sage_cli.question import from_argument
from sage_cli.render.styles import Format, Style
from sage_cli.shell import shell_of
from sage_cli.threshold import threshold
from sage_cli.values import vector_files

EPILOG = """
What is explained:
  ID        an answer of the log, see sage logs; enough of its beginning or end
  FILE      the output of sage ask --json; JSON Lines of question, reasoning and
            answer; records of GSM8K and AQuA; or plain text, the question first
  -         the same from standard input

What the numbers mean:
  valid     the probability that the step is right, given what precedes it
  settled   the probability that the model gives the final answer after the step
  Q1, 2     what the step rests on: sentences of the question, earlier steps
  ICS       what the reasoning tells about the question, in nats per token

An explanation is what was asked for here, so it goes to standard output; progress and notices go to
standard error. Several records give JSON Lines, one for each; those that cannot be explained are reported
with their line and left out. Everything else is in docs/explanations.md.

Exit codes:
  0    explained
  1    failed otherwise
  2    wrong usage
  3    confidence under --fail-under, or not known
  4    inverse consistency under --fail-under-ics, or not known
  65   bad data: model, head or record refused
  66   no such file, no such answer
  69   llama-cpp-python is not installed, or the network failed
  70   internal error
  71   out of memory
  74   reading or writing failed
  77   no permission
  130  interrupted
  141  nobody read the explanation

Where records of a batch failed, the code is that of the first one.
"""


def explain(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="ID | FILE | -",
            show_default=False,
            help="What to explain. Default: what is piped in, else the last answer.",
        ),
    ] = None,
    *,
    model: flags.Model = None,
    hf: flags.HubModel = None,
    ctx_size: flags.CtxSize = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    control_vector: flags.ControlVectors = None,
    system: flags.System = "",
    no_stdin: flags.NoStdin = False,
    no_premises: flags.NoPremises = False,
    alternatives: flags.Alternatives = 3,
    no_alternatives: flags.NoAlternatives = False,
    faithfulness: flags.Faithfulness = False,
    offline_self: flags.OfflineSelf = False,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    force_head: flags.ForceHead = False,
    fail_under: flags.FailUnder = None,
    fail_under_ics: flags.FailUnderIcs = None,
    form: flags.ExplanationFormat = None,
    style: flags.ExplanationStyle = None,
    as_json: flags.AsJson = False,
    output: flags.OptionalOutputFile = None,
    resume: flags.Resume = False,
    again: flags.Again = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Explain an answer: what each step rests on, where it could have gone elsewhere, what is wrong.

    The chain may be this model's own or written by anyone. All of it is measured here, by the model that
    reads it again; nothing is made up. What was measured of an answer of the log is kept with it and shown again
    without the model.
    """
    shell = shell_of(ctx)
    wanted = _format(form, style, as_json=as_json)
    fail_under = threshold(ctx, fail_under, use_head=not no_head)
    if resume and output is None:
        raise UsageError("--resume continues a file", hint="name it with -o FILE")
    if source == "-" and no_stdin:
        raise UsageError("- and --no-stdin contradict each other", hint="give one of them")
    options = ExplainOptions(
        system=from_argument(system),
        premises=not no_premises,
        alternatives=not no_alternatives,
        faithfulness=faithfulness,
        alternatives_each=alternatives,
    )
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

    from sage_cli.explaining import Display, explain_all
    from sage_cli.subjects import Subject, subjects

    def peeked(found: Iterator[Subject]) -> tuple[Iterator[Subject], bool]:
        first = list(itertools.islice(found, 2))
        if not first:
            raise DataError("there is nothing to explain", hint="see sage explain --help")
        return itertools.chain(first, found), resume or len(first) > 1

    with subjects(shell, source, use_stdin=not no_stdin) as found:
        chains, many = peeked(found)
        display = Display(
            format=_for_many(wanted) if many else wanted or "text",
            style=style or "steps",
            many=many,
            output=output,
            resume=resume,
            again=again,
            own_words=offline_self,
            quiet=quiet,
            fail_under=fail_under,
            fail_under_ics=fail_under_ics,
        )
        return explain_all(shell, chains, engine, options, display)


def _format(form: Format | None, style: Style | None, *, as_json: bool) -> Format | None:
    if as_json and form not in {None, "json"}:
        raise UsageError(f"--json and --format {form} contradict each other", hint="give one of them")
    form = "json" if as_json else form
    if form == "json" and style is not None:
        raise UsageError("JSON holds everything, and --style chooses", hint="give one of them")
    return form


def _for_many(form: Format | None) -> Format:
    if form not in {None, "json"}:
        raise UsageError(f"--format {form} shows one chain, and there are several", hint="use --format json")
    return "json"
