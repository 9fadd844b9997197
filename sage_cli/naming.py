"""The one place where a word becomes a model's file: a path, an alias, a name of the hub, the default."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mch_runtime.errors import MissingInputError, UsageError
from sage_cli.assets import DEFAULT_MODEL
from sage_cli.config import aliases, default_model

if TYPE_CHECKING:
    from sage_cli.shell import Shell

EMBEDDED = DEFAULT_MODEL.stem


def model_path(chosen: Path | None, environ: Mapping[str, str]) -> Path:
    """The model's file: what was asked for, else SAGE_MODEL, else the configured one, else the embedded one.

    A path is not looked at: opening it tells what is wrong. Raises MissingInputError if a name is no model's.
    """
    if chosen is not None:
        return resolve(str(chosen), environ)
    word = default_model(environ)
    return resolve(word, environ) if word else embedded_model()


def chosen_model(shell: Shell, chosen: Path | None, hub_name: str | None, *, quiet: bool) -> Path:
    """The same for commands that take ``-hf`` too; what is not in the cache is downloaded then.

    Raises UsageError if both are given.
    """
    if hub_name is None:
        return model_path(chosen, shell.environ)
    if chosen is not None:
        raise UsageError("-m and -hf contradict each other", hint="give one of them")
    from convert.hub_cache import cache_folder, find_cached
    from convert.hub_names import require_name

    name = require_name(hub_name)
    cached = find_cached(cache_folder(shell.environ), name)
    if cached is not None:
        return cached.path
    from sage_cli.pulling import pull_model

    return pull_model(shell, name, quiet=quiet).path


def resolve(word: str, environ: Mapping[str, str]) -> Path:
    """The file that a word means. Raises UsageError or MissingInputError."""
    path = _as_path(word)
    if _is_file(path):
        return path
    known = aliases(environ)
    word = known.get(word, word)
    found = _by_name(word, environ)
    if found is not None:
        return found
    path = _as_path(word)
    if path.suffix.lower() == ".gguf" or path.is_absolute() or word.startswith(".") or path.is_dir():
        return path
    raise _unknown(word, known, environ)


def embedded_model() -> Path:
    """sage-pico. Raises MissingInputError if this installation lacks it."""
    if not DEFAULT_MODEL.exists():
        raise MissingInputError(
            "the embedded model is missing from this installation",
            hint="reinstall sage, or give -m MODEL.gguf",
        )
    return DEFAULT_MODEL


def _as_path(word: str) -> Path:
    if not word:
        raise UsageError("the model's name is empty", hint="sage models lists what there is")
    if "\0" in word:
        raise UsageError("the model's name holds a NUL character", hint="sage models lists what there is")
    return Path(word).expanduser() if word.startswith("~") else Path(word)


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # no name that a file could have
        return False


def _by_name(word: str, environ: Mapping[str, str]) -> Path | None:
    if word == EMBEDDED:
        return embedded_model()
    from convert.hub_cache import cache_folder, find_cached
    from convert.hub_names import parse_name

    name = parse_name(word)
    cached = find_cached(cache_folder(environ), name) if name else None
    return cached.path if cached else None


def _unknown(word: str, known: Mapping[str, str], environ: Mapping[str, str]) -> MissingInputError:
    from convert.hub_cache import cache_folder, cached_models
    from convert.hub_names import parse_name

    names = [EMBEDDED, *known, *(model.name for model in cached_models(cache_folder(environ)))]
    near = _near(word, names)
    hints = [f"did you mean {near}?"] if near else []
    if parse_name(word):
        hints.append(f"sage pull {word} downloads it from the hub")
    return MissingInputError(
        f"there is no model {word}", hint="; ".join(hints) or "sage models lists what there is"
    )


def _near(word: str, names: list[str]) -> str:
    """The name that is most like ``word``, its last part alone counting too."""
    by_key = {name.lower(): name for name in names}
    by_key |= {name.lower().rpartition("/")[2]: name for name in names}
    near = difflib.get_close_matches(word.lower(), by_key, n=1)
    return by_key[near[0]] if near else ""
