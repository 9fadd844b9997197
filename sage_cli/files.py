"""``sage convert`` and ``sage quantize``: flags to the library, one line about what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convert import OutType
from mch_runtime.errors import UsageError
from sage_cli import flags
from sage_cli.render.safe import one_line
from sage_cli.shell import shell_of


def convert(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A checkpoint: config.json, safetensors, tokenizer.json.")
    ],
    *,
    output: flags.OutputFile,
    outtype: Annotated[
        OutType,
        typer.Option("--outtype", metavar="TYPE", help="f32, f16, bf16 or q8_0. Default: f16."),
    ] = "f16",
    head: Annotated[
        Path | None,
        typer.Option(
            "--head", metavar="FILE", help="The head. Default: head.safetensors in FOLDER, if it is there."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The model's name. Default: the folder's.")
    ] = None,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Convert a Hugging Face checkpoint to one GGUF file, its head behind it.

    llama.cpp, and what is built on it, opens the result as the plain base model.
    """
    shell = shell_of(ctx)
    from convert.to_gguf import convert as to_gguf
    from sage_cli.progress import bar

    with shell.users_umask(), bar(shell, f"converting {source.name}", quiet=quiet) as advance:
        report = to_gguf(source, output, outtype=outtype, head=head, name=name, progress=advance)
    if not quiet:
        shell.err.write(
            one_line(
                f"{output}: {report.architecture}, {count(report.parameters)} parameters as {outtype}, "
                f"{size(report.bytes_written)}, {f'head {report.head}' if report.head else 'no head'}"
            )
            + "\n"
        )
    return 0


def quantize(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="MODEL", help="A GGUF file in F32, F16 or BF16.")],
    type_name: Annotated[
        str, typer.Argument(metavar="TYPE", help="Q4_K_M, Q8_0 and so on, llama.cpp's names.")
    ],
    *,
    output: flags.OutputFile,
    threads: flags.Threads = None,
    allow_requantize: Annotated[
        bool,
        typer.Option(
            "--allow-requantize", help="Accept a model that is quantized already: worse twice over."
        ),
    ] = False,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """Make a smaller GGUF file with llama.cpp's quantizer; the head is carried over."""
    shell = shell_of(ctx)
    if threads is not None and not 1 <= threads <= 512:
        raise UsageError(f"--threads {threads} is out of range", hint="1 to 512")
    from quant.quantize import quantize as make_smaller
    from sage_cli.screen import passing_line

    standing = passing_line(shell, f"quantizing {source.name}", hidden=quiet)
    with shell.users_umask(), standing:
        report = make_smaller(
            source, output, type_name=type_name, threads=threads, allow_requantize=allow_requantize
        )
    if not quiet:
        for warning in report.warnings:
            shell.note(warning)
        shell.err.write(
            one_line(
                f"{output}: {report.type_name}, {size(report.before_bytes)} to {size(report.after_bytes)}, "
                f"{'head carried over' if report.head_carried else 'no head'}"
            )
            + "\n"
        )
    return 0


def size(count_of_bytes: int) -> str:
    """``12.3 MB``, powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count_of_bytes >= factor:
            return f"{count_of_bytes / factor:.1f} {unit}"
    return f"{count_of_bytes} bytes"


def count(number: int) -> str:
    """``1.7 M``"""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return str(number)
