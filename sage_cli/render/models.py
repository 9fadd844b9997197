"""Models as a table, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from sage_cli.render.amounts import count, size
from sage_cli.render.heads import group
from sage_cli.render.safe import one_line

if TYPE_CHECKING:
    from sage_cli.description import Description, Row

_GAP = "  "


def models_table(rows: list[Row]) -> Text:
    """Name, size, quantization, head, and what an alias stands for."""
    cells = [[Text(name, "bold") for name in ("  NAME", "SIZE", "QUANT", "HEAD", "")]]
    for row in rows:
        mark = "* " if row.default else "  "
        how_large = Text("missing", "red") if row.size is None else Text(size(row.size))
        cells.append(
            [
                Text(mark, "green") + Text(one_line(row.name), "cyan"),
                how_large,
                Text(row.quantization or "-"),
                Text(row.head or "-", "" if row.head else "dim"),
                Text(one_line(f"= {row.stands_for}"), "dim") if row.stands_for else Text(),
            ]
        )
    widths = [max(line[column].cell_len for line in cells) for column in range(4)]
    lines = []
    for line in cells:
        for cell, width in zip(line, widths, strict=False):
            cell.pad_right(width - cell.cell_len)
        joined = Text(_GAP).join(line)
        joined.rstrip()
        lines.append(joined)
    return Text("\n").join(lines)


def model_view(model: Description) -> Text:
    """Name and value on each line, grouped."""
    groups: list[tuple[str, list[tuple[str, Text | str]]]] = [
        (
            model.name,
            [
                ("file", str(model.path)),
                ("size", size(model.file_bytes)),
                ("architecture", model.architecture),
                ("parameters", count(model.parameters)),
                ("quantization", model.quantization or "not said"),
                ("context", "not said" if model.context is None else f"{model.context:,} tokens"),
                ("layers", _plain(model.layers)),
                ("width", _plain(model.embedding)),
                ("vocabulary", f"{model.vocabulary:,} tokens"),
                ("template", model.template),
            ],
        ),
        ("Head", _head_rows(model)),
    ]
    if model.origin:
        groups.append(("From", list(model.origin.items())))
    if model.head is not None and model.head.spec.provenance:
        provenance = model.head.spec.provenance.items()
        groups.append(("Head fitted on", [(key, _plain(value)) for key, value in provenance]))
    return Text("\n\n").join(group(title, rows) for title, rows in groups)


def _head_rows(model: Description) -> list[tuple[str, Text | str]]:
    rows: list[tuple[str, Text | str]] = []
    if model.head is None and not model.problem:
        return [("name", "none; confidence is not known")]
    if model.head is not None:
        spec = model.head.spec
        rows = [
            ("name", spec.name),
            ("size", f"{model.head.head_bytes:,} bytes, {model.head.parameters:,} parameters"),
            ("says", ", ".join(spec.channels)),
            ("calibrated", ", ".join(spec.calibration) or "by Platt scaling alone"),
        ]
    if model.problem:
        rows.append(("refused", Text(one_line(model.problem), "red")))
    return rows


def _plain(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value or "not said"


def model_json(model: Description) -> dict[str, Any]:
    """The same as plain values; ``problem`` is null unless a head is there and refused."""
    from sage_cli.render.heads import head_json

    return {
        "name": model.name,
        "path": str(model.path),
        "size": model.file_bytes,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "quantization": model.quantization,
        "context": model.context,
        "embedding_length": model.embedding,
        "layers": model.layers,
        "vocabulary": model.vocabulary,
        "template": model.template,
        "head": head_json(model.head) if model.head else None,
        "problem": model.problem or None,
        "origin": model.origin,
    }
