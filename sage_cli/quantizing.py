"""``sage quantize``: flags to the library, one line about what it did."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from mch_runtime.errors import UsageError
from sage_cli import flags, quality
from sage_cli.quantized import Wish, importance, make, save_matrix, show_plan, with_types
from sage_cli.shell import shell_of

EPILOG = """
Examples:
  sage quantize model.gguf Q4_K_M -o small.gguf
  sage quantize model.gguf IQ3_XS --imatrix calibration.txt -o small.gguf
  sage quantize model.gguf Q4_K_M --tensor-type ffn_down=Q6_K --dry-run
  sage quantize model.gguf --target-size 4GB -o small.gguf --report
"""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_WHAT = "What is made"
_HOW = "How it is chosen"


def quantize(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="MODEL", help="A GGUF file in F32, F16 or BF16.")],
    type_name: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="Q4_K_M, IQ3_XS and so on, llama.cpp's names.")
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The file to write; never the input."),
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(
            "--imatrix",
            metavar="FILE",
            help="Weigh errors by importance: a calibration text, or a matrix in llama.cpp's GGUF format.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    save_imatrix: Annotated[
        Path | None,
        typer.Option(
            "--save-imatrix", metavar="FILE", help="Keep the matrix of that text.", rich_help_panel=_HOW
        ),
    ] = None,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            "--tensor-type",
            metavar="PATTERN=TYPE",
            help="Another type for tensors whose name the pattern is found in. May be repeated; the first holds.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            "--target-size",
            metavar="SIZE",
            help="Instead of TYPE: the best file of at most this size, such as 4GB. Measures for a while.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    max_kl: Annotated[
        float | None,
        typer.Option(
            "--max-kl",
            metavar="NATS",
            help="Instead of TYPE: the smallest file of at most this mean KL divergence, such as 0.01.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    measurements: Annotated[
        int,
        typer.Option(
            "--measurements",
            metavar="N",
            min=1,
            max=10_000,
            help="How many trials --target-size and --max-kl may make. Default: 160.",
            rich_help_panel=_HOW,
        ),
    ] = 160,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print types and sizes of all tensors and write nothing.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Then measure what was lost, as sage quality does.")
    ] = False,
    text: quality.TextFile = None,
    traces: quality.Traces = None,
    window: quality.Window = 256,
    html: quality.Page = None,
    threads: flags.Threads = None,
    allow_requantize: Annotated[
        bool,
        typer.Option(
            "--allow-requantize", help="Accept a model that is quantized already: worse twice over."
        ),
    ] = False,
    as_json: flags.AsJson = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """Make a smaller GGUF file with llama.cpp's quantizer; the head is carried over."""
    shell = shell_of(ctx)
    only_matrix = save_imatrix is not None and type_name is None and target_size is None and max_kl is None
    _check(
        type_name,
        output,
        imatrix,
        save_imatrix,
        target_size,
        max_kl,
        only_matrix=only_matrix,
        dry_run=dry_run,
        report=report,
        overridden=bool(tensor_type),
    )
    if html is not None and not report:
        raise UsageError("--html is a page of the report", hint="add --report")
    if threads is not None and not 1 <= threads <= 512:
        raise UsageError(f"--threads {threads} is out of range", hint="1 to 512")
    from quant.types import known_type, parse_override

    wish = Wish(
        source=source,
        output=output,
        type_name=None if type_name is None else known_type(type_name, importance=bool(imatrix) or dry_run),
        most_bytes=None if target_size is None else parse_size(target_size),
        most_kl=max_kl,
        overrides=tuple(map(parse_override, tensor_type or ())),
        threads=threads,
        allow_requantize=allow_requantize,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
    )
    calibration, matrix = importance(shell, wish, imatrix, window=window)
    if matrix is not None and save_imatrix is not None:
        save_matrix(shell, matrix, save_imatrix, quiet=quiet)
    if only_matrix:
        return 0
    if wish.has_goal:
        wish = with_types(shell, wish, calibration, matrix, measurements=measurements)
    if dry_run:
        show_plan(shell, wish, matrix)
        return 0
    made = make(shell, wish, matrix)
    if report:
        measured = quality.measure(
            shell,
            source,
            made,
            text=quality.chosen_text(text, window=window),
            traces=quality.chosen_traces(traces),
            threads=threads,
            quiet=quiet,
        )
        quality.show(shell, measured, as_json=as_json, html=html, quiet=quiet)
    return 0


def parse_size(word: str) -> int:
    """``4GB``, ``1.5G``, ``700MiB`` or a plain number of bytes. Raises UsageError."""
    match = _SIZE.fullmatch(word.strip())
    if match is None:
        raise UsageError(f"--target-size {word!r} is not a size", hint="such as 4GB, 700MB or 1.5GiB")
    base = 1024 if match[3] else 1000
    n_bytes = int(float(match[1]) * base ** _POWERS[match[2].upper()])
    if n_bytes < 1:
        raise UsageError(f"--target-size {word!r} is nothing", hint="such as 4GB, 700MB or 1.5GiB")
    return n_bytes


def _check(
    type_name: str | None,
    output: Path | None,
    imatrix: Path | None,
    save_imatrix: Path | None,
    target_size: str | None,
    max_kl: float | None,
    *,
    only_matrix: bool,
    dry_run: bool,
    report: bool,
    overridden: bool,
) -> None:
    """Refuse flags that contradict each other."""
    given = [
        name for name, value in (("TYPE", type_name), ("--target-size", target_size)) if value is not None
    ]
    given += ["--max-kl"] if max_kl is not None else []
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} contradict each other", hint="give one of them")
    if not given and not only_matrix:
        raise UsageError("TYPE is missing", hint="such as Q4_K_M, or give --target-size or --max-kl")
    if save_imatrix is not None and imatrix is None:
        raise UsageError("--save-imatrix has nothing to save", hint="give a text with --imatrix")
    if output is None and not dry_run and not only_matrix:
        raise UsageError("-o/--output is missing", hint="give the file to write, or --dry-run")
    if dry_run and report:
        raise UsageError("--dry-run writes nothing to report on", hint="leave one of them out")
    if overridden and (target_size is not None or max_kl is not None):
        raise UsageError("--tensor-type goes with a TYPE", hint="the other types are chosen by measurement")
    if max_kl is not None and not 0 < max_kl < math.inf:
        raise UsageError(f"--max-kl {max_kl} is out of range", hint="more than 0, such as 0.01")
