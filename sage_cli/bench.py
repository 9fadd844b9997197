"""``sage bench``: how fast a model is on this machine."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from mch_runtime.options import EngineOptions
from sage_cli import flags
from sage_cli.naming import chosen_model
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from sage_cli.benching import Loaded, Measured

EPILOG = """
Tests, named as llama-bench names them:
  pp512       a prompt of 512 tokens is read at once
  tg128       128 tokens are written, each drawn and measured as in an answer
  tg128+head  the same with the head watching
  vote8x128   8 answers of 128 tokens behind one prompt, written together; all
              their tokens are counted

Each is run once without being counted, then -r times. The numbers are tokens per second, mean ± standard
deviation of the repetitions.
"""

Form = Literal["md", "csv", "json"]
_FIELDS = ("model", "quantization", "bytes", "test", "repetitions", "tokens_per_second", "deviation")
_HEADER = ("model", "size", "test", "tokens/s")
_WIDTHS = (24, 10, 14, 20)


def bench(
    ctx: typer.Context,
    *,
    model: flags.Model = None,
    hf: flags.HubModel = None,
    threads: flags.Threads = None,
    gpu_layers: flags.GpuLayers = 0,
    n_prompt: Annotated[
        int,
        typer.Option(
            "-p",
            "--n-prompt",
            metavar="N",
            min=0,
            max=1 << 16,
            help="Tokens to read, 0 for none. Default: 512.",
        ),
    ] = 512,
    n_gen: Annotated[
        int,
        typer.Option(
            "-n",
            "--n-gen",
            metavar="N",
            min=0,
            max=1 << 16,
            help="Tokens to write, 0 for none. Default: 128.",
        ),
    ] = 128,
    votes: Annotated[
        int,
        typer.Option("--votes", metavar="N", min=0, max=64, help="Answers at once, 0 for none. Default: 8."),
    ] = 8,
    repetitions: Annotated[
        int, typer.Option("-r", "--repetitions", metavar="N", min=1, max=1000, help="Default: 5.")
    ] = 5,
    head: flags.Head = None,
    no_head: flags.NoHead = False,
    form: Annotated[
        Form, typer.Option("--format", metavar="FORMAT", help="md, csv or json. Default: md.")
    ] = "md",
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Measure how fast a model reads and writes, in tokens per second.

    Rows appear as they are measured; JSON is one list at the end.
    """
    shell = shell_of(ctx)
    from sage_cli.benching import needed_context

    options = EngineOptions(
        model=chosen_model(shell, model, hf, quiet=quiet),
        head=head,
        use_head=not no_head,
        ctx_size=max(16, needed_context(n_prompt=n_prompt, n_gen=n_gen, votes=votes)),
        max_sequences=max(1, votes),
        threads=threads,
        gpu_layers=gpu_layers,
    )
    rows = _measured(
        shell, options, n_prompt=n_prompt, n_gen=n_gen, votes=votes, repetitions=repetitions, quiet=quiet
    )
    _show(shell, rows, form)
    return 0


def _measured(
    shell: Shell,
    options: EngineOptions,
    *,
    n_prompt: int,
    n_gen: int,
    votes: int,
    repetitions: int,
    quiet: bool,
) -> Iterator[dict[str, Any]]:
    """A row for each test, as soon as it is measured. Raises Interrupted."""
    from mch_runtime.session import Interrupt
    from sage_cli.benching import measure, planned
    from sage_cli.screen import changing_line

    interrupt = Interrupt()
    with shell.signals.guarding(interrupt), shell.open_engine(options, interrupt=interrupt) as engine:
        loaded = cast("Loaded", engine)
        tests = planned(n_prompt=n_prompt, n_gen=n_gen, votes=votes, with_head=loaded.head is not None)
        for test in tests:
            with changing_line(shell, hidden=quiet) as say:
                measured = measure(
                    loaded,
                    test,
                    repetitions=repetitions,
                    on_repetition=partial(_say, say, test.name, repetitions),
                )
            yield _row(loaded, options, measured)


def _say(say: Callable[[str], None], name: str, repetitions: int, number: int) -> None:
    say(f"{name} {number}/{repetitions}" if number else f"{name}, warming up")


def _bytes_of(file: Path) -> int:
    return file.stat().st_size


def _row(loaded: Loaded, options: EngineOptions, measured: Measured) -> dict[str, Any]:
    deviation = measured.deviation
    return {
        "model": loaded.model.name,
        "file": loaded.model.file,
        "quantization": loaded.model.quantization,
        "bytes": _bytes_of(options.model),
        "fingerprint": loaded.model.fingerprint,
        "head": loaded.model.head if measured.test.with_head else None,
        "threads": options.threads,
        "gpu_layers": options.gpu_layers,
        "test": measured.test.name,
        "n_prompt": measured.test.n_prompt,
        "n_gen": measured.test.n_gen,
        "chains": measured.test.chains,
        "repetitions": len(measured.rates),
        "tokens_per_second": round(measured.mean, 2),
        "deviation": None if deviation is None else round(deviation, 2),
        "samples": [round(rate, 2) for rate in measured.rates],
    }


def _show(shell: Shell, rows: Iterator[dict[str, Any]], form: Form) -> None:
    if form == "json":
        shell.out.write(json.dumps(list(rows), indent=2) + "\n")
        return
    header = (
        _csv_line(_FIELDS)
        if form == "csv"
        else _table_line(_HEADER) + _table_line(["-" * n for n in _WIDTHS])
    )
    for number, row in enumerate(rows):
        line = _csv_line([row[field] for field in _FIELDS]) if form == "csv" else _markdown(row)
        shell.out.write(line if number else header + line)


def _markdown(row: dict[str, Any]) -> str:
    from sage_cli.render.amounts import size
    from sage_cli.render.safe import one_line

    name = " ".join(part for part in (one_line(row["model"]), row["quantization"]) if part)
    spread = "" if row["deviation"] is None else f" ± {row['deviation']:.2f}"
    rate = f"{row['tokens_per_second']:.2f}{spread}"
    return _table_line([name.replace("|", "/"), size(row["bytes"]), row["test"], rate])


def _table_line(cells: tuple[str, ...] | list[str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
    return f"| {' | '.join(padded)} |\n"


def _csv_line(cells: tuple[str, ...] | list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
