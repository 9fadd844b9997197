"""What ``sage quantize`` does once it is clear what is wanted: matrix, types, plan, file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sage_cli.render.amounts import size
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell

if TYPE_CHECKING:
    from mch_runtime.session import Interrupt
    from quant.importance import ImportanceMatrix
    from quant.mix import Mix
    from quant.texts import Text
    from quant.types import Override


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be made: a type, or a goal to choose types for."""

    source: Path
    output: Path | None
    type_name: str | None
    most_bytes: int | None
    most_kl: float | None
    overrides: tuple[Override, ...]
    threads: int | None
    allow_requantize: bool
    dry_run: bool
    as_json: bool
    quiet: bool

    @property
    def has_goal(self) -> bool:
        return self.most_bytes is not None or self.most_kl is not None


def importance(
    shell: Shell, wish: Wish, path: Path | None, *, window: int
) -> tuple[Text | None, ImportanceMatrix | None]:
    """The calibration text, if one is given, and the matrix."""
    if path is None:
        return None, None
    from mch_runtime.session import Interrupt
    from quant.importance import compute, is_matrix_file, read
    from quant.texts import read_text
    from sage_cli.progress import bar

    if is_matrix_file(path):
        return None, read(path)
    text = read_text(path, window=window)
    interrupt = Interrupt()
    with (
        shell.signals.guarding(interrupt),
        bar(shell, f"reading {path.name}", quiet=wish.quiet, counted=True) as advance,
    ):
        matrix = compute(wish.source, text, threads=wish.threads, interrupt=interrupt, progress=advance)
    return text, matrix


def save_matrix(shell: Shell, matrix: ImportanceMatrix, path: Path, *, quiet: bool) -> None:
    """Keep the matrix and say so."""
    from quant.importance import write

    with shell.users_umask():
        write(matrix, path)
    if not quiet:
        tokens = int(max(matrix.counts.values()))
        shell.err.write(
            one_line(f"{path}: importance of {len(matrix.sums)} tensors on {tokens:,} tokens") + "\n"
        )


def with_types(
    shell: Shell, wish: Wish, text: Text | None, matrix: ImportanceMatrix | None, *, measurements: int
) -> Wish:
    """The wish with types chosen for its goal."""
    from dataclasses import replace

    from mch_runtime.session import Interrupt
    from quant.mix import Goal, find_mix
    from sage_cli.progress import bar

    interrupt = Interrupt()
    with (
        shell.signals.guarding(interrupt),
        bar(shell, f"measuring {wish.source.name}", quiet=wish.quiet, counted=True) as advance,
    ):
        mix = find_mix(
            wish.source,
            Goal(wish.most_bytes, wish.most_kl),
            text=text,
            importance=matrix,
            threads=wish.threads,
            allow_requantize=wish.allow_requantize,
            measurements=measurements,
            folder=wish.output.parent if wish.output is not None else None,
            interrupt=interrupt,
            progress=advance,
        )
    if not wish.quiet:
        _tell(shell, mix)
    return replace(wish, type_name=mix.base_type, overrides=mix.overrides)


def _tell(shell: Shell, mix: Mix) -> None:
    named = f"as {mix.recipe}" if mix.recipe else "types chosen tensor by tensor"
    shell.err.write(
        one_line(
            f"{named}: {size(mix.file_bytes)} at most, KL divergence {mix.kl.value:.3g} nats per token on the "
            f"calibration text, after {mix.measurements} measurements"
        )
        + "\n"
    )


def show_plan(shell: Shell, wish: Wish, matrix: ImportanceMatrix | None) -> None:
    """What would be written, tensor by tensor."""
    from quant.quantize import plan
    from sage_cli.paint import paint
    from sage_cli.render.quality import plan_json, plan_view

    assert wish.type_name is not None
    planned = plan(
        wish.source,
        type_name=wish.type_name,
        allow_requantize=wish.allow_requantize,
        importance=matrix,
        overrides=wish.overrides,
        imagine_importance=True,
    )
    if not wish.quiet:
        for warning in planned.warnings:
            shell.note(warning)
    if wish.as_json:
        shell.out.write(json.dumps(plan_json(planned)) + "\n")
        return
    shell.out.write(paint(plan_view(planned), shell.out_face, width=max(100, shell.out.width)))
    if not wish.quiet:
        shell.err.write(
            f"{size(planned.before_bytes)} to {size(planned.after_bytes)}, "
            f"{planned.bits_per_weight:.2f} bits per weight; nothing was written\n"
        )


def make(shell: Shell, wish: Wish, matrix: ImportanceMatrix | None) -> Path:
    """Write the file and say so."""
    from mch_runtime.session import Interrupt
    from quant.quantize import quantize as make_smaller
    from sage_cli.screen import passing_line

    assert wish.type_name is not None
    assert wish.output is not None
    interrupt: Interrupt = Interrupt()
    standing = passing_line(shell, f"quantizing {wish.source.name}", hidden=wish.quiet)
    with shell.users_umask(), shell.signals.guarding(interrupt), standing:
        made = make_smaller(
            wish.source,
            wish.output,
            type_name=wish.type_name,
            threads=wish.threads,
            allow_requantize=wish.allow_requantize,
            importance=matrix,
            overrides=wish.overrides,
            interrupt=interrupt,
        )
    if not wish.quiet:
        for warning in made.warnings:
            shell.note(warning)
        shell.err.write(
            one_line(
                f"{wish.output}: {made.type_name}, {size(made.before_bytes)} to {size(made.after_bytes)}, "
                f"{'head carried over' if made.head_carried else 'no head'}"
            )
            + "\n"
        )
    return wish.output
