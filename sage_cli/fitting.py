"""``sage head fit``: flags to a fit, how far it is, the figures of what came of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mch_runtime.errors import FileError, Interrupted, UsageError, file_error
from mch_runtime.trace import Mode
from sage_cli import flags
from sage_cli.growing import GrowingFile, growing
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from mch_runtime.fitting.collecting import Standing as Sampled
    from mch_runtime.fitting.fitter import Fitted
    from mch_runtime.fitting.job import Job

MODES: tuple[Mode, ...] = ("vote", "think", "auto")
_DATA = "Questions and chains"
_FIT = "What is fitted"

EPILOG = """
Questions are JSON Lines, one object a line:
  {"question": "Ann has 3 apples. ...", "answer": "12"}

GSM8K's own records are taken as they are, and so is multiple choice (question, options, answer). Chains whose
steps somebody has labelled may stand beside the answer, see docs/head-fit.md; else the model writes chains,
and steps are labelled by whether what is written behind them still reaches the right answer.

Of the questions 70 % are fitted on, 15 % calibrate, and 15 % tell what the head is worth. A head that does not rank
answers better than their mean log-probability is not written.

Needs torch: pip install torch==2.13.0. Chains are kept as they come, and the same command goes on with them.

Examples:
  sage head fit model.gguf --data questions.jsonl
  sage head fit model.gguf --data train.jsonl -o model.mch.gguf --modes vote
  sage head attach model.gguf model.mch.gguf -o model-with-head.gguf

Exit codes:
  0    written
  1    nothing to learn, or no better than log-probability: nothing was written
  2    wrong usage, torch is missing
  65   bad data, named by its line
  66   no such file
  74   reading or writing failed
  130  interrupted; what was sampled is kept
"""


def fit(
    ctx: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="GGUF file.")],
    *,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Questions with their answers, JSON Lines; at least 200.",
            rich_help_panel=_DATA,
        ),
    ],
    form: Annotated[
        Literal["free", "gsm8k", "choice", "math-500", "aqua", "commonsenseqa", "mmlu-pro"] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="free, gsm8k, choice, math-500, aqua, commonsenseqa or mmlu-pro. Default: as it looks.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    instruction: Annotated[
        str,
        typer.Option(
            "--instruction",
            metavar="TEXT",
            help="What is asked below every question. Default: nothing.",
            rich_help_panel=_DATA,
        ),
    ] = "",
    chains: Annotated[
        int,
        typer.Option(
            "--chains",
            metavar="N",
            min=2,
            max=64,
            help="Chains per question. Default: 4.",
            rich_help_panel=_DATA,
        ),
    ] = 4,
    rollouts: Annotated[
        int,
        typer.Option(
            "--rollouts",
            metavar="N",
            min=1,
            max=64,
            help="Continuations from each step of a wrong chain. Default: 4.",
            rich_help_panel=_DATA,
        ),
    ] = 4,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature",
            metavar="T",
            min=0.01,
            max=10,
            help="Of the sampled chains. Default: 1.",
            rich_help_panel=_DATA,
        ),
    ] = 1.0,
    max_tokens: Annotated[
        int,
        typer.Option(
            "-n",
            "--max-tokens",
            metavar="N",
            min=8,
            max=1 << 16,
            help="A chain that has not ended by then is wrong. Default: 512.",
            rich_help_panel=_DATA,
        ),
    ] = 512,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Default: 0.", rich_help_panel=_DATA)
    ] = 0,
    modes: Annotated[
        str,
        typer.Option(
            "--modes",
            metavar="LIST",
            help="Modes that get a confidence beside fast: of vote, think and auto, or none. Default: all.",
            rich_help_panel=_FIT,
        ),
    ] = ",".join(MODES),
    width: Annotated[
        int,
        typer.Option(
            "--width",
            metavar="N",
            min=16,
            max=1024,
            help="Of the head; a multiple of 8. Default: 128.",
            rich_help_panel=_FIT,
        ),
    ] = 128,
    ctx_size: flags.CtxSize = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The head's file. Default: MODEL's sidecar, NAME.mch.gguf, where it is found by itself.",
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            metavar="FOLDER",
            help="Where chains are kept, also at the end. Default: OUTPUT.work, removed at the end.",
        ),
    ] = None,
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Fit a head for any model: sample chains, label them, fit, calibrate, and measure what it is worth.

    The head says how far each step and the answer can be trusted, calibrated on questions like those of the data.
    """
    shell = shell_of(ctx)
    wanted = _modes(modes)
    if width % 8:
        raise UsageError(f"--width {width} is no multiple of 8", hint="try 64, 128 or 256")
    from mch_runtime.fitting.collecting import Settings
    from mch_runtime.fitting.job import Job
    from mch_runtime.fitting.questions import read_queries
    from mch_runtime.head.container import sidecar_path
    from mch_runtime.head.fit import FitConfig, import_torch
    from mch_runtime.options import EngineOptions

    import_torch()
    target = output or sidecar_path(model)
    _check_target(target, model)
    options = EngineOptions(model=model, ctx_size=ctx_size, threads=threads, gpu_layers=gpu_layers)
    queries = read_queries(data, form=form)
    settings = Settings(
        chains=chains,
        rollouts=rollouts,
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed,
        instruction=instruction,
    )
    run = _Run(shell, work or target.with_name(f"{target.name}.work"), quiet=quiet)
    fitted = run.fit(
        Job(
            options=options,
            queries=queries,
            settings=settings,
            config=FitConfig(width=width, seed=seed),
            wanted=wanted,
            data=data.name,
            work=run.work,
        )
    )
    run.write(fitted, target, keep=work is not None, as_json=as_json)
    return 0


class _Run:
    """One fit, and what is told of it while it goes on."""

    def __init__(self, shell: Shell, folder: Path, *, quiet: bool) -> None:
        from mch_runtime.fitting.job import Work
        from sage_cli.standing import StandingLine

        self.work = Work(folder=folder, journal=self._journal)
        self._shell = shell
        self._folder = folder
        self._quiet = quiet
        self._line = StandingLine(shell, quiet=quiet)
        self._began = monotonic()
        self._what, self._first = "", 0

    def fit(self, job: Job) -> Fitted:
        """All of it but the writing. Raises Interrupted; what was sampled stays."""
        from mch_runtime.fitting.fitter import fit_head
        from mch_runtime.session import Interrupt

        interrupt = Interrupt()
        with self._shell.users_umask(), self._shell.signals.guarding(interrupt), self._line.shown():
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise file_error(error, "write", self._folder) from error
            try:
                return fit_head(job, self, interrupt)
            except Interrupted:
                self.note(f"what was sampled is in {self._folder}; the same command goes on with it")
                raise

    def write(self, fitted: Fitted, target: Path, *, keep: bool, as_json: bool) -> None:
        """The head, whole or not at all, and its figures."""
        from mch_runtime.atomic import atomic_output
        from mch_runtime.head.format import encode_head
        from sage_cli.paint import paint
        from sage_cli.render.fitting import fitted_json, fitted_view

        data = encode_head(fitted.head)
        with self._shell.users_umask(), atomic_output(target) as partial:
            partial.write_bytes(data)
        if not keep:
            shutil.rmtree(self._folder, ignore_errors=True)
        if as_json:
            self._shell.out.write(json.dumps(fitted_json(fitted, target)) + "\n")
            return
        face = self._shell.out_face
        self._shell.out.write(paint(fitted_view(fitted), face, width=self._shell.out.width) + "\n")
        if not self._quiet:
            self._shell.err.write(one_line(f"{target}: the head {fitted.head.spec.name}") + "\n")

    def sampled(self, standing: Sampled) -> None:
        """As ``mch_runtime.fitting.fitter.Watcher`` has it."""
        if self._what != "sampling":
            self._begin("sampling", standing.done)
            if standing.resumed:
                self.note(
                    f"{standing.resumed:,} of {standing.total:,} questions are in {self._folder} already"
                )
        right = f", {100 * standing.right / standing.chains:.0f} % right" if standing.chains else ""
        self._line.tell(lambda: f"sampling: {self._amount(standing.done, standing.total)}{right}")

    def working(self, what: str, done: int, total: int) -> None:
        """As ``mch_runtime.fitting.fitter.Watcher`` has it."""
        new = self._what != what
        if new:
            self._begin(what, done)
        self._line.tell(lambda: f"{what}: {self._amount(done, total)}" if total else what, at_once=new)

    def note(self, sentence: str) -> None:
        """As ``mch_runtime.fitting.fitter.Watcher`` has it."""
        if not self._quiet:
            self._line.clear()
            self._shell.note(sentence)

    def _begin(self, what: str, done: int) -> None:
        self._what, self._first, self._began = what, done, monotonic()

    def _amount(self, done: int, total: int) -> str:
        from sage_cli.standing import duration

        new = done - self._first
        left = duration((monotonic() - self._began) / new * (total - done)) if new else ""
        return f"{done:,} of {total:,}" + (f", {left} left" if left and done < total else "")

    @contextmanager
    def _journal(self, name: str) -> Iterator[GrowingFile]:
        with growing(self._folder / name, resume=True) as file:
            yield file


def _modes(words: str) -> Sequence[Mode]:
    named = {word.strip() for word in words.split(",") if word.strip()} - {"none", "fast"}
    wrong = sorted(named - set(MODES))
    if wrong:
        raise UsageError(f"--modes {wrong[0]!r} is not possible", hint=f"of {', '.join(MODES)}, or none")
    return [mode for mode in MODES if mode in named]


def _check_target(target: Path, model: Path) -> None:
    """What would otherwise show after hours."""
    if target.exists() and model.exists() and target.samefile(model):
        raise UsageError(f"{target} is the model itself", hint="give another file with -o")
    if target.is_dir():
        raise FileError(f"cannot write {target}: it is a folder", hint="give the name of a file")
    if not target.parent.is_dir():
        raise FileError(f"cannot write {target}: there is no folder {target.parent}", hint="make it first")
