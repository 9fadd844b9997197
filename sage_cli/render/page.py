"""HTML in small pieces: text that is escaped, elements, and a document that loads nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from html import escape

from sage_cli.render.safe import safe


def text(value: str) -> str:
    """``value`` as the content of an element or of a quoted attribute; never markup."""
    return escape(safe(value), quote=True)


def element(name: str, *content: str, **attributes: str | None) -> str:
    """``<name …>content</name>`` of markup; attributes are escaped, a trailing ``_`` of their names is dropped.

    An attribute that is None is left out; ``_`` within a name is a hyphen.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{''.join(content)}</{name}>"


def link(target: str, label: str, *, title: str | None = None) -> str:
    """A link within the page."""
    return element("a", text(label), href=f"#{target}", title=title)


def each(name: str, items: Iterable[str]) -> str:
    """An element of ``name`` around each of ``items``."""
    return "".join(element(name, item) for item in items)


def document(title: str, body: str, style: str) -> str:
    """A whole page. Its policy allows this one style sheet and nothing else: no script, no request."""
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
