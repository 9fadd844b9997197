"""``sage quality``: two models of one vocabulary on a text, and what the second lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sage_cli import flags
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from quant.quality import QualityReport
    from quant.texts import Text

EPILOG = """
Examples:
  sage quality model-f16.gguf model-q4_k_m.gguf
  sage quality model-f16.gguf model-q4_k_m.gguf --text own.txt --html page.html
"""

TextFile = Annotated[
    Path | None,
    typer.Option("--text", metavar="FILE", help="Text to measure on. Default: one that comes with sage."),
]
Traces = Annotated[
    Path | None,
    typer.Option(
        "--traces",
        metavar="FILE",
        help="Chains for the head, JSON Lines: question, text, and right (true or false) if it is known.",
    ),
]
Window = Annotated[
    int,
    typer.Option(
        "--window", metavar="N", min=2, max=1 << 15, help="Tokens that are read at once. Default: 256."
    ),
]
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with a plot to this file.")
]


def quality(
    ctx: typer.Context,
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The GGUF file to compare with.")],
    other: Annotated[Path, typer.Argument(metavar="MODEL", help="The GGUF file that is examined.")],
    *,
    text: TextFile = None,
    traces: Traces = None,
    window: Window = 256,
    html: Page = None,
    as_json: flags.AsJson = False,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Measure what a model lost against another one, such as by quantization.

    Perplexity of both; how far the probabilities of the next token moved (KL divergence); how often both would
    take the same token; and how far the head's confidence moved. Errors are standard errors.
    """
    shell = shell_of(ctx)
    report = measure(
        shell,
        reference,
        other,
        text=chosen_text(text, window=window),
        traces=chosen_traces(traces),
        threads=threads,
        gpu_layers=gpu_layers,
        quiet=quiet,
    )
    show(shell, report, as_json=as_json, html=html, quiet=quiet)
    return 0


def chosen_text(path: Path | None, *, window: int) -> Text | None:
    """The text of a file, None for the one that comes with sage."""
    if path is None:
        return None
    from quant.texts import read_text

    return read_text(path, window=window)


def chosen_traces(path: Path | None) -> Text | None:
    """The chains of a file."""
    if path is None:
        return None
    from quant.texts import read_traces

    return read_traces(path)


def measure(
    shell: Shell,
    reference: Path,
    other: Path,
    *,
    text: Text | None,
    traces: Text | None,
    threads: int | None,
    gpu_layers: int = 0,
    quiet: bool,
) -> QualityReport:
    """Compare, with a bar; a signal ends it with Interrupted."""
    from mch_runtime.session import Interrupt
    from quant.quality import compare
    from sage_cli.progress import bar

    interrupt = Interrupt()
    with (
        shell.signals.guarding(interrupt),
        bar(shell, f"measuring {other.name}", quiet=quiet, counted=True) as advance,
    ):
        return compare(
            reference,
            other,
            text=text,
            traces=traces,
            threads=threads,
            gpu_layers=gpu_layers,
            interrupt=interrupt,
            progress=advance,
        )


def show(shell: Shell, report: QualityReport, *, as_json: bool, html: Path | None, quiet: bool) -> None:
    """The report on standard output, and as a page if one is wanted."""
    from sage_cli.paint import paint
    from sage_cli.render.quality import quality_json, quality_page, quality_view

    if html is not None:
        _write_page(shell, quality_page(report), html)
    if not quiet:
        for note in report.notes:
            shell.note(note)
    if as_json:
        shell.out.write(json.dumps(quality_json(report)) + "\n")
        return
    face = shell.out_face
    for part in quality_view(report, unicode=face.unicode):
        shell.out.write(paint(part, face, width=shell.out.width).rstrip("\n") + "\n")


def _write_page(shell: Shell, page: str, path: Path) -> None:
    from mch_runtime.atomic import atomic_output

    with shell.users_umask(), atomic_output(path) as partial:
        partial.write_text(page, encoding="utf-8")
