"""``sage ask``: flags to options, options to an engine, its trace to streams, log and exit code."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mch_runtime.errors import MissingInputError, UsageError
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from sage_cli import flags, question
from sage_cli.console import STDIN, same_terminal
from sage_cli.shell import Shell, shell_of
from sage_cli.values import number, whole_number

if TYPE_CHECKING:
    from mch_runtime.trace import Trace
    from sage_cli.live import Recorder, Relay
    from sage_cli.shell import Asking

EMBEDDED_MODEL = Path(__file__).parent / "assets" / "sage-pico.gguf"

EXIT_NO_ANSWER = 1
EXIT_LOW_CONFIDENCE = 3

EPILOG = """
Each step's mark is the probability that the step is valid: ● 0.90 and more, ◐ 0.50 and more, ○ less.
The mark behind the answer and the last line say how likely the answer is right. Without a head these
numbers do not exist; the mean log-probability of the tokens stands there, called uncalibrated.

Options for -o: temperature (0: greedy), top_k, top_p, min_p, seed, max_tokens.

Piped input comes first, then a blank line, then QUESTION. Inside loops such as
while read q; do sage "$q"; done the first call would swallow the rest: use --no-stdin there.

Exit codes: 0 answered; 1 no answer found in the text, or failed otherwise; 2 wrong usage; 3 confidence
under --fail-under, or not known; 65 bad data (model, head or input refused); 66 no such file;
70 internal error; 71 out of memory; 74 reading or writing failed; 77 no permission; 130 interrupted;
141 nobody read the answer.
"""


@dataclass(frozen=True, kw_only=True)
class Display:
    """How an answer is shown, and what counts as sure enough."""

    as_json: bool
    stream: bool
    log: bool
    quiet: bool
    verbose: bool
    make_safe: bool
    fail_under: float | None


def ask(
    ctx: typer.Context,
    text: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What to ask; piped input is put in front of it.")
    ] = None,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            "-m", "--model", metavar="FILE",
            help="GGUF file to ask. Default: $SAGE_MODEL, else the embedded sage-pico.",
            rich_help_panel=flags.MODEL,
        ),
    ] = None,
    ctx_size: Annotated[
        int | None,
        typer.Option(
            "--ctx-size", metavar="N",
            help="Tokens of context. Default: the model's own, at most 4096.",
            rich_help_panel=flags.MODEL,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", metavar="N", help="Threads to compute with. Default: one per core.",
            rich_help_panel=flags.MODEL,
        ),
    ] = None,
    gpu_layers: Annotated[
        int,
        typer.Option(
            "-ngl", "--gpu-layers", metavar="N", min=-1,
            help="Layers to put on the GPU, -1 for all. Default: 0.",
            rich_help_panel=flags.MODEL,
        ),
    ] = 0,
    system: Annotated[
        str,
        typer.Option(
            "-s", "--system", metavar="TEXT", help="System prompt. Confidence is then not known.",
            rich_help_panel=flags.GENERATION,
        ),
    ] = "",
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "-n", "--max-tokens", metavar="N", help="Stop after so many tokens. Default: when the context is full.",
            rich_help_panel=flags.GENERATION,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", help="Seed of the sampler; only matters above temperature 0. Default: drawn.",
            rich_help_panel=flags.GENERATION,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--option", metavar="K=V", help="A sampling option, also as -o K V; see below.",
            rich_help_panel=flags.GENERATION,
        ),
    ] = None,
    no_stdin: Annotated[
        bool, typer.Option("--no-stdin", help="Leave standard input alone.", rich_help_panel=flags.GENERATION)
    ] = False,
    head: Annotated[
        Path | None,
        typer.Option(
            "--head", metavar="FILE", help="Head to use instead of the one found with the model.",
            rich_help_panel=flags.TRUST,
        ),
    ] = None,
    no_head: Annotated[
        bool, typer.Option("--no-head", help="Use no head.", rich_help_panel=flags.TRUST)
    ] = False,
    force_head: Annotated[
        bool,
        typer.Option(
            "--force-head", help="Use a head made for another model; confidence is then not known.",
            rich_help_panel=flags.TRUST,
        ),
    ] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(
            "--fail-under", metavar="P", help="Exit with 3 if confidence is under P (0 to 1) or not known.",
            rich_help_panel=flags.TRUST,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the whole trace as one JSON object (sage.trace/1).", rich_help_panel=flags.DISPLAY
        ),
    ] = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Show everything at the end.", rich_help_panel=flags.DISPLAY)
    ] = False,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Do not keep the answer; see sage logs.", rich_help_panel=flags.DISPLAY)
    ] = False,
    quiet: flags.Quiet = False,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Add tokens, times and sampling.", rich_help_panel=flags.DISPLAY),
    ] = False,
    safe_output: Annotated[
        bool,
        typer.Option(
            "--safe-output", help="Make control characters visible in pipes too, not only on terminals.",
            rich_help_panel=flags.DISPLAY,
        ),
    ] = False,
    color: flags.Color = "auto",
) -> int:
    """
    Ask one question.

    The answer goes to standard output, and nothing else does. Steps, their confidence and statistics go
    to standard error.
    """
    shell = shell_of(ctx)
    settings = _settings(option or (), seed=seed, max_tokens=max_tokens)
    engine_options = EngineOptions(
        model=_model(model, shell.environ),
        head=head,
        use_head=not no_head,
        force_head=force_head,
        ctx_size=ctx_size,
        threads=threads,
        gpu_layers=gpu_layers,
    )
    ask_options = AskOptions(
        system=question.from_argument(system),
        max_tokens=settings.pop("max_tokens", None),
        sampling=SamplingOptions(**settings),
    )
    display = Display(
        as_json=as_json,
        stream=not no_stream,
        log=not no_log,
        quiet=quiet,
        verbose=verbose and not quiet,
        make_safe=safe_output,
        fail_under=_probability(fail_under, head=not no_head),
    )
    asked = _question(shell, text, use_stdin=not no_stdin)
    return _run(shell, asked, engine_options, ask_options, display)
