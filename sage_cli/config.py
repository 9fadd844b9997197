"""Settings: what a flag says, else the environment, else the file, else the flag's own default.

``config.toml`` holds one line for each setting and a table of aliases. :data:`SETTINGS` is all there is; what is not
in it, or is of another type, is refused with file and line.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from mch_runtime.errors import AccessError, DataError, SageError, UsageError, file_error
from mch_runtime.files import read_regular_file

if TYPE_CHECKING:
    import typer

Value = str | int | float | bool

ALIASES = "aliases"
MODEL = "model"
_LIMIT = 1 << 20  # bytes
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting: the type of its value, its limits or choices. Its name is that of the flag's parameter."""

    kind: type
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def problem(self, value: object) -> str:
        """What is wrong with a value, "" if nothing is."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            return f"must be {_KINDS[self.kind]}"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}"
        if isinstance(value, (int, float)) and not self._within(value):
            return f"must be {self._limits()}"
        if isinstance(value, str) and "\0" in value:
            return "must not hold a NUL character"
        return ""

    def _within(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _limits(self) -> str:
        return f"{self.low:.0f} or more" if self.high is None else f"{self.low:.0f} to {self.high:.0f}"


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        MODEL: Setting(kind=str, help="model to use: a file, an alias, or user/repo:TAG"),
        "template": Setting(kind=str, help="named template to ask with"),
        "mode": Setting(
            kind=str, choices=("fast", "vote", "think", "auto"), help="how much is done for an answer"
        ),
        "votes": Setting(
            kind=int, low=1, high=1024, help="chains to draw at most, in modes that draw several"
        ),
        "budget": Setting(kind=int, low=1, help="tokens to write and score for an answer, at most"),
        "system": Setting(kind=str, help="system prompt"),
        "ctx_size": Setting(kind=int, low=16, high=1 << 20, help="tokens of context"),
        "threads": Setting(kind=int, low=1, high=512, help="threads to compute with"),
        "gpu_layers": Setting(kind=int, low=-1, help="layers to put on the GPU, -1 for all"),
        "max_tokens": Setting(kind=int, low=1, help="stop after so many tokens"),
        "fail_under": Setting(kind=float, low=0, high=1, help="exit with 3 below this confidence"),
        "color": Setting(kind=str, choices=("auto", "always", "never"), help="when to use colour"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the file says. lines: where each setting stands, from 1."""

    path: Path
    values: Mapping[str, Value] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Effective:
    """A setting's value and where it comes from, ``SAGE_THREADS`` or ``config.toml:3``."""

    value: Value
    source: str


def config_path(environ: Mapping[str, str]) -> Path:
    """SAGE_CONFIG, else ``config.toml`` in the user's configuration folder."""
    if environ.get("SAGE_CONFIG"):
        return Path(environ["SAGE_CONFIG"]).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_dir("sage", appauthor=False)) / "config.toml"


def read_text(path: Path) -> str:
    """The file as it is, "" if there is none.

    Raises AccessError if it may not be read, or anybody may write to it; DataError if it is no text.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise file_error(error, "read", path) from error
    if status.st_mode & stat.S_IWOTH:
        raise AccessError(f"anybody may write to {path}", hint=f"chmod o-w {path}")
    if status.st_uid not in {os.geteuid(), 0}:
        raise AccessError(f"{path} is not a file of yours", hint="set SAGE_CONFIG to another place")
    try:
        return read_regular_file(path, limit=_LIMIT).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", hint="sage config edit") from error


def load_config(environ: Mapping[str, str]) -> Config:
    """The settings of the file, all checked. Raises DataError, which names the line, and as ``read_text``."""
    path = config_path(environ)
    text = read_text(path)
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """Raises DataError if ``text`` is not a file of settings; ``path`` is for the message."""
    if not text:
        return Config(path=path)
    import tomllib

    from sage_cli.toml_lines import line_of

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(
            f"{path}: {str(error)[:1].lower()}{str(error)[1:]}", hint="sage config edit"
        ) from error
    aliases = found.pop(ALIASES, {})
    for key, value in found.items():
        _check(path, text, key, value)
    if not isinstance(aliases, dict):
        _refuse(path, text, ALIASES, "must be a table, [aliases]")
    for name, target in aliases.items():
        if not isinstance(target, str) or not target:
            _refuse(path, text, name, "must be text, the model that it stands for", table=ALIASES)
    return Config(
        path=path, values=found, aliases=aliases, lines={key: line_of(text, "", key) or 1 for key in found}
    )


def _check(path: Path, text: str, key: str, value: object) -> None:
    if key not in SETTINGS:
        _refuse(path, text, key, "is not a setting", hint=near_setting(key))
    problem = SETTINGS[key].problem(value)
    if problem:
        _refuse(path, text, key, problem)


def _refuse(path: Path, text: str, key: str, problem: str, *, table: str = "", hint: str = "") -> NoReturn:
    from sage_cli.toml_lines import line_of

    line = line_of(text, table, key)
    place = f"{path}, line {line}" if line else str(path)
    raise DataError(f"{place}: {key} {problem}", hint=hint or "sage config edit")


def near_setting(key: str) -> str:
    """A hint for a name that is no setting."""
    near = difflib.get_close_matches(key.replace("-", "_"), SETTINGS, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTINGS)}"


def parse_value(key: str, word: str, *, name: str) -> Value:
    """A word of the command line or the environment as a setting's value.

    name: what to call it. Raises UsageError if it is none.
    """
    setting = SETTINGS[key]
    value: Value = word
    try:
        if setting.kind is int:
            value = int(word)
        elif setting.kind is float:
            value = float(word)
        elif setting.kind is bool:
            value = {"true": True, "false": False}[word.lower()]
    except (ValueError, KeyError):
        raise UsageError(f"{name} {word!r} is not {_KINDS[setting.kind]}") from None
    problem = setting.problem(value)
    if problem:
        raise UsageError(f"{name} {problem}, not {word}")
    return value


def effective(environ: Mapping[str, str], config: Config) -> dict[str, Effective]:
    """The settings that have a value, the environment before the file. Raises UsageError for a wrong variable."""
    found = {}
    for key in SETTINGS:
        variable = f"SAGE_{key.upper()}"
        if environ.get(variable):
            found[key] = Effective(value=parse_value(key, environ[variable], name=variable), source=variable)
        elif key in config.values:
            source = f"{config.path.name}:{config.lines[key]}"
            found[key] = Effective(value=config.values[key], source=source)
    return found


class FlagDefaults(MutableMapping[str, Any]):
    """What flags are when they are not given, for Typer's ``default_map``; read when the first one is asked for.

    options: the names of a command's options, as its arguments have no settings. The model is not among them:
    ``naming.model_path`` asks for it, for it may be given as ``-hf`` too.
    """

    def __init__(self, environ: Mapping[str, str], options: Collection[str]) -> None:
        self._environ = environ
        self._names = {name for name in options if name in SETTINGS} - {MODEL}
        self._values: dict[str, Value] | None = None

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        return self._all()[name]

    def _all(self) -> dict[str, Value]:
        if self._values is None:
            settings = effective(self._environ, load_config(self._environ))
            self._values = {key: setting.value for key, setting in settings.items()}
        return self._values

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._all() if key in self._names)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __setitem__(self, name: str, value: object) -> NoReturn:
        raise TypeError("settings are not changed here")

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError("settings are not changed here")


def is_configured(ctx: typer.Context, name: str) -> bool:
    """Whether a flag's value is that of a setting, and not of the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def change(environ: Mapping[str, str], table: str, key: str, value: Value | None) -> None:
    """Write one setting or alias to the file, None takes it out; everything else in the file stays as it is.

    Raises DataError if the file is refused as it is or cannot be changed, and the errors of writing.
    """
    from mch_runtime.atomic import atomic_output
    from sage_cli.toml_lines import edited

    path = config_path(environ).resolve()  # a link to a file kept elsewhere stays a link
    text = read_text(path)
    try:
        new = edited(text, table, key, value)
    except ValueError as error:
        raise DataError(f"{path}: {error}", hint="sage config edit") from error
    parse_config(new, path)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_output(path) as partial:
            partial.write_text(new, encoding="utf-8")
            partial.chmod(mode)
    except OSError as error:
        raise file_error(error, "write", path) from error


def default_model(environ: Mapping[str, str]) -> str:
    """The model that is used when none is named, "" for the embedded one."""
    if environ.get("SAGE_MODEL"):
        return environ["SAGE_MODEL"]
    return str(load_config(environ).values.get(MODEL, ""))


def aliases(environ: Mapping[str, str], *, forgiving: bool = False) -> Mapping[str, str]:
    """The aliases of the file. forgiving: none if the file is refused, as completion wants it."""
    try:
        return load_config(environ).aliases
    except SageError:
        if not forgiving:
            raise
        return {}
