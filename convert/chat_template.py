"""The chat template of a checkpoint: a file of its own, or a setting of the tokenizer."""

from __future__ import annotations

from pathlib import Path

from convert.json_file import JsonObject
from mch_runtime.errors import DataError, file_error

CHAT_TEMPLATE = "chat_template.jinja"
MAX_TEMPLATE_BYTES = 256 << 10


def read_chat_template(folder: Path, settings: JsonObject) -> str | None:
    """chat_template.jinja, or else the setting, of which the one called "default" counts."""
    path = folder / CHAT_TEMPLATE
    try:
        if path.exists():
            with path.open("rb") as file:
                template = file.read(MAX_TEMPLATE_BYTES + 1)
        else:
            template = (_setting(settings) or "").encode()
        if len(template) > MAX_TEMPLATE_BYTES:
            raise DataError(
                f"the chat template is larger than {MAX_TEMPLATE_BYTES:,} bytes", hint="shorten or remove it"
            )
        return template.decode() or None
    except OSError as error:
        raise file_error(error, "read", path) from error
    except UnicodeError as error:
        raise DataError("the chat template is not UTF-8 text", hint="the file is damaged") from error


def _setting(settings: JsonObject) -> str | None:
    if not isinstance(settings.values.get("chat_template"), list):
        return settings.text("chat_template")
    for item in settings.items("chat_template"):
        if isinstance(item, dict) and item.get("name") == "default":
            return JsonObject(f"{settings.where}: chat_template", item).text("template")
    return None
