"""``sage convert``: flags to the library, one line about what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convert import OutType
from sage_cli import flags
from sage_cli.render.amounts import count, size
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
