"""``sage ask``: flags to options."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mch_runtime.errors import MissingInputError, UsageError
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from sage_cli import flags
from sage_cli.assets import DEFAULT_MODEL
from sage_cli.console import STDIN
from sage_cli.question import from_argument, join, read_piped
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of
from sage_cli.values import number, whole_number

EPILOG = """
Marks:
  ● 0.97   0.90 and more: sure
  ◐ 0.74   0.50 and more: likely
  ○ 0.31   less: doubtful

The mark behind a step is the probability that this step is valid; the mark behind the answer, and the
last line, say how likely the answer is right. Without a head there are no such numbers: the mean
log-probability of the tokens stands in their place and is called uncalibrated.

Options for -o:
  temperature N             0, the default, takes the most likely token
  top_k N, top_p P, min_p P llama.cpp's filters; 40, 0.95 and 0.05
  seed N, max_tokens N      the flags of these names

Piped input comes first, then a blank line, then QUESTION. In a loop such as
while read q; do sage "$q"; done the first call would read the other questions: add --no-stdin.

Exit codes:
  0    answered
  1    no answer found in the text, or failed otherwise
  2    wrong usage
  3    confidence under --fail-under, or not known
  65   bad data: model, head or input refused
  66   no such file
  70   internal error
  71   out of memory
  74   reading or writing failed
  77   no permission
  130  interrupted
  141  nobody read the answer
"""

Parser = Callable[[str, str], float]
_SETTINGS: Mapping[str, Parser] = {
    "temperature": number,
    "top_k": whole_number,
    "top_p": number,
    "min_p": number,
    "seed": whole_number,
    "max_tokens": whole_number,
}


def ask(
    ctx: typer.Context,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What to ask; piped input is put in front of it.")
    ] = None,
    *,
    model: flags.Model = None,
    ctx_size: flags.CtxSize = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    system: flags.System = "",
    max_tokens: flags.MaxTokens = None,
    seed: flags.Seed = None,
    option: flags.SamplingOption = None,
    no_stdin: flags.NoStdin = False,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    force_head: flags.ForceHead = False,
    fail_under: flags.FailUnder = None,
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
    settings = _settings(option or (), seed=seed, max_tokens=max_tokens)
    ask_options = AskOptions(
        system=from_argument(system),
        max_tokens=settings.pop("max_tokens", None),
        sampling=SamplingOptions(**settings),
    )
    check_threshold(fail_under, use_head=not no_head)
    asked = _question(shell, question, use_stdin=not no_stdin)
    engine_options = EngineOptions(
        model=model_path(model, shell.environ),
        head=head,
        use_head=not no_head,
        force_head=force_head,
        ctx_size=ctx_size,
        threads=threads,
        gpu_layers=gpu_layers,
    )

    from sage_cli.answering import Display, answer

    display = Display(
        as_json=as_json,
        stream=not no_stream,
        log=not no_log,
        quiet=quiet,
        verbose=verbose and not quiet,
        make_safe=safe_output,
        fail_under=fail_under,
    )
    return answer(shell, asked, engine_options, ask_options, display)


def model_path(chosen: Path | None, environ: Mapping[str, str]) -> Path:
    """The model's file: what was asked for, else SAGE_MODEL, else the embedded one."""
    if chosen is not None:
        return chosen
    if environ.get("SAGE_MODEL"):
        return Path(environ["SAGE_MODEL"]).expanduser()
    if not DEFAULT_MODEL.exists():
        raise MissingInputError(
            "the embedded model is missing from this installation",
            hint="reinstall sage, or give -m MODEL.gguf",
        )
    return DEFAULT_MODEL


def _settings(words: Iterable[str], *, seed: int | None, max_tokens: int | None) -> dict[str, Any]:
    """The options of ``-o K=V`` by name, and those that have a flag of their own."""
    settings: dict[str, Any] = {
        name: value for name, value in (("seed", seed), ("max_tokens", max_tokens)) if value is not None
    }
    for word in words:
        name, separator, value = word.partition("=")
        if name not in _SETTINGS:
            raise _unknown_option(name)
        if not separator:
            raise UsageError(f"option {name} needs a value", hint=f"-o {name}=…")
        parsed = _SETTINGS[name](name, value)
        if settings.setdefault(name, parsed) != parsed:
            raise UsageError(f"{name} is given twice: {settings[name]} and {parsed}", hint="give it once")
    return settings


def _unknown_option(name: str) -> UsageError:
    near = difflib.get_close_matches(name, _SETTINGS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_SETTINGS)}"
    return UsageError(f"there is no option {one_line(name)}", hint=hint)


def check_threshold(fail_under: float | None, *, use_head: bool) -> None:
    """Raises UsageError if the threshold of --fail-under means nothing."""
    if fail_under is None:
        return
    if not 0 <= fail_under <= 1:
        raise UsageError(f"--fail-under {fail_under:g} is not a probability", hint="0 to 1")
    if not use_head:
        raise UsageError("--fail-under needs a head, and --no-head uses none", hint="give one of them")


def _question(shell: Shell, argument: str | None, *, use_stdin: bool) -> str:
    piped = "" if shell.stdin_terminal() or not use_stdin else read_piped(STDIN)
    return join(piped, from_argument(argument or ""))
