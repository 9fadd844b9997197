from __future__ import annotations

from sage_cli.reference import pages
from tests.sage_cli.runner import ROOT


def test_the_page_in_docs_is_what_help_says() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == pages(), (
        "run: python -m sage_cli.reference > docs/cli.md"
    )


def test_every_command_is_on_the_page() -> None:
    for command in (
        "sage",
        "sage ask",
        "sage explain",
        "sage convert",
        "sage quantize",
        "sage head attach",
        "sage logs show",
    ):
        assert f"## `{command}`" in pages()


def test_no_line_is_wider_than_a_terminal() -> None:
    _, *screens = pages().split("```text\n")
    assert [
        line for screen in screens for line in screen.split("```")[0].splitlines() if len(line) > 80
    ] == []
