"""``sage eval``: flags to a task, an evaluation and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mch_runtime.errors import FileError, MissingInputError, UsageError
from mch_runtime.options import EngineOptions
from sage_cli import flags
from sage_cli.naming import chosen_model
from sage_cli.shell import shell_of
from sage_cli.values import vector_files

TaskName = Literal[
    "pico", "gsm8k", "math-500", "aqua", "commonsenseqa", "mmlu-pro", "gpqa", "choice", "free", "samples"
]
MODES = ("fast", "vote", "think", "auto")

_WHAT = "What is asked"
_REPORT = "Report"

EPILOG = """
Task sets, each in its published form:
  pico           held-out problems of sage-pico's own families; built in
  gsm8k          test.jsonl: question, answer with "#### 12"
  math-500       test.jsonl: problem, solution, answer
  aqua           test.json of AQuA-RAT: question, options, rationale, correct
  commonsenseqa  dev_rand_split.jsonl: question.stem, choices, answerKey
  mmlu-pro       JSON Lines, or Parquet where pyarrow is installed
  gpqa           gpqa_diamond.csv; the order of the options is drawn by --seed
  choice         JSON Lines of your own: question, options, answer
  free           JSON Lines of your own: question, answer
  samples        no task: report what was sampled earlier, without a model

Modes:
  fast           one greedy chain
  vote           --votes chains, drawn once; every way of selecting among them,
                 by the head, inverse consistency (ICS), both or neither, is
                 measured on the same chains
  think, auto    the engine's own, asked for each problem

The report goes to standard output; progress and notices go to standard error. Every problem is kept as
soon as it is answered: what was interrupted or killed goes on with --resume. Every figure is defined in
docs/evaluation.md.

Exit codes:
  0    reported
  2    wrong usage
  65   bad data: model, head, task set or samples refused
  66   no such file
  70   internal error
  71   out of memory
  74   reading or writing failed
  77   no permission
  130  interrupted; what was sampled is kept
  141  nobody read the report
"""


def evaluate(
    ctx: typer.Context,
    task: Annotated[
        TaskName, typer.Argument(metavar="TASK", show_default=False, help="The task set; named below.")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", show_default=False, help="Its file; pico has its own.")
    ] = None,
    *,
    modes: Annotated[
        str,
        typer.Option(
            "--modes",
            metavar="LIST",
            help="Of fast, vote, think and auto, with commas between them. Default: fast,vote.",
            rich_help_panel=_WHAT,
        ),
    ] = "fast,vote",
    votes: Annotated[
        int,
        typer.Option(
            "--votes",
            metavar="N",
            min=1,
            max=1024,
            help="Chains per problem. Default: 8.",
            rich_help_panel=_WHAT,
        ),
    ] = 8,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="The first N problems only.", rich_help_panel=_WHAT),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            metavar="T",
            min=0.01,
            max=10,
            help="Of the sampled chains. Default: 0.8.",
            rich_help_panel=_WHAT,
        ),
    ] = 0.8,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Of chains and of GPQA's options. Default: 0.",
            rich_help_panel=_WHAT,
        ),
    ] = 0,
    max_tokens: flags.MaxTokens = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            "--instruction",
            metavar="TEXT",
            help='What is asked below every question, "" for nothing. Default: the form of the answer.',
            rich_help_panel=_WHAT,
        ),
    ] = None,
    model: flags.Model = None,
    hf: flags.HubModel = None,
    ctx_size: flags.CtxSize = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    control_vector: flags.ControlVectors = None,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    force_head: flags.ForceHead = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="ROW",
            help="The row that others are compared with. Default: plain vote, else fast.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    train_data: Annotated[
        Path | None,
        typer.Option(
            "--train-data",
            metavar="FILE",
            help="Text or JSON Lines the model was trained on: which questions share 13 words in a row with it.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    as_json: flags.AsJson = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Also write the report with plots as a page.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            metavar="FILE",
            help="Where chains are kept, as JSON Lines. Default: a file of this task and model.",
            rich_help_panel=_REPORT,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the samples that are there.", rich_help_panel=_REPORT)
    ] = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Measure a model on a task set: right answers, confidence, cost, and what each part contributes.

    Every figure comes with its interval, and every two ways of answering are compared on the same problems.
    """
    shell = shell_of(ctx)
    _check(task, file, samples, resume=resume)
    _check_places(html, train_data)

    from sage_cli.evaluating import Display, Plan, evaluate_task, report_again

    display = Display(
        against=against, train_data=train_data, as_json=as_json, html=html, limit=limit, quiet=quiet
    )
    if task == "samples":
        assert file is not None
        return report_again(shell, file, display)
    plan = Plan(
        task=task,
        file=_task_file(file),
        instruction=instruction,
        modes=_modes(modes),
        votes=votes,
        temperature=temperature,
        seed=seed,
        max_tokens=max_tokens,
        samples=samples,
        resume=resume,
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
    return evaluate_task(shell, plan, engine, display)


def _check(task: TaskName, file: Path | None, samples: Path | None, *, resume: bool) -> None:
    if task == "samples":
        if file is None:
            raise UsageError(
                "FILE is missing", hint="sage eval samples FILE reports what --samples FILE has kept"
            )
        if resume or samples is not None:
            raise UsageError("samples are only read here", hint="name the task to sample more")
    elif task != "pico" and file is None:
        raise UsageError(f"{task} needs its FILE", hint="see sage eval --help for what it is called")


def _check_places(html: Path | None, train_data: Path | None) -> None:
    """What would otherwise show after everything has been sampled."""
    if html is not None and not html.parent.is_dir():
        raise FileError(f"cannot write {html}: there is no folder {html.parent}", hint="make it first")
    if train_data is not None and not train_data.is_file():
        raise MissingInputError(f"there is no file {train_data}", hint="check --train-data")


def _task_file(file: Path | None) -> Path:
    """Where the problems are read from; the one place that would know of other sources than files."""
    from sage_cli.assets import PICO_PROBLEMS

    return file or PICO_PROBLEMS


def _modes(words: str) -> tuple[str, ...]:
    """In the order of MODES."""
    named = {word.strip() for word in words.split(",") if word.strip()}
    wrong = sorted(named - set(MODES))
    if wrong or not named:
        said = f"--modes {wrong[0]!r} is not possible" if wrong else "--modes is empty"
        raise UsageError(said, hint=f"of {', '.join(MODES)}")
    return tuple(mode for mode in MODES if mode in named)
