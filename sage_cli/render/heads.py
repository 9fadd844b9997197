"""A head as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from sage_cli.render.safe import one_line

if TYPE_CHECKING:
    from mch_runtime.head.container import HeadReport

_NAME_WIDTH = 14
_PLACES = {"tail": "behind the model", "sidecar": "in a sidecar", "file": "in a file of its own"}


def head_view(report: HeadReport, *, unicode: bool) -> Text:
    """Name and value on each line, grouped."""
    spec = report.spec
    times = " × " if unicode else " x "
    fits = Text("yes", "green") if not report.problem else Text(f"no: {one_line(report.problem)}", "red")
    groups: list[tuple[str, list[tuple[str, Text | str]]]] = [
        (
            spec.name,
            [
                ("place", f"{_PLACES[report.place]}, {report.path}"),
                ("size", f"{report.head_bytes:,} bytes, {report.parameters:,} parameters"),
                ("sha256", report.sha256),
            ],
        ),
        (
            "Base",
            [
                ("fits", fits),
                ("architecture", f"{spec.base_architecture}, {spec.embedding_length} wide"),
                ("fingerprint", spec.base_fingerprint),
                ("size", f"{report.base_bytes:,} bytes"),
            ],
        ),
        (
            "Network",
            [
                ("width", f"{spec.width}, {spec.head_count} heads{times}{spec.width // spec.head_count}"),
                ("statistics", ", ".join(spec.statistics) or "none"),
                ("channels", ", ".join(spec.channels)),
                ("calibrated", ", ".join(spec.calibration) or "by Platt scaling alone"),
                ("steps end at", repr(spec.step_delimiter)),
                ("template", spec.template or "any"),
            ],
        ),
    ]
    if spec.provenance:
        groups.append(("Fitted on", [(key, _plain(value)) for key, value in spec.provenance.items()]))
    groups += [("Warnings", [("", warning) for warning in report.warnings])] if report.warnings else []
    return Text("\n\n").join(group(title, rows) for title, rows in groups)


def group(title: str, rows: list[tuple[str, Text | str]]) -> Text:
    """A title and, below it, name and value on each line."""
    lines = [Text(one_line(title), "bold")]
    width = max(_NAME_WIDTH, *(len(name) + 2 for name, _ in rows))
    for name, value in rows:
        text = value if isinstance(value, Text) else Text(one_line(value))
        lines.append(Text(f"  {one_line(name):<{width}}", "dim") + text)
    return Text("\n").join(lines)


def _plain(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value


def head_json(report: HeadReport) -> dict[str, Any]:
    """The same as plain values; ``problem`` is null for a head that fits."""
    spec = report.spec
    return {
        "name": spec.name,
        "place": report.place,
        "path": str(report.path),
        "sha256": report.sha256,
        "head_bytes": report.head_bytes,
        "base_bytes": report.base_bytes,
        "parameters": report.parameters,
        "problem": report.problem or None,
        "base": {
            "architecture": spec.base_architecture,
            "fingerprint": spec.base_fingerprint,
            "model_fingerprint": report.fingerprint,
        },
        "embedding_length": spec.embedding_length,
        "width": spec.width,
        "head_count": spec.head_count,
        "statistics": list(spec.statistics),
        "channels": list(spec.channels),
        "platt_scale": list(spec.platt_scale),
        "platt_bias": list(spec.platt_bias),
        "calibration": sorted(spec.calibration),
        "step_delimiter": spec.step_delimiter,
        "template": spec.template or None,
        "provenance": dict(spec.provenance),
        "warnings": list(report.warnings),
    }
