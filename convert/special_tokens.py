"""Which tokens end generation, begin a text, or fill it up, as a checkpoint's files say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convert.json_file import JsonObject
from mch_runtime.errors import DataError

MAX_STOPS = 3  # llama.cpp has a place for as many: end of sequence, of turn, of message


@dataclass(frozen=True)
class SpecialIds:
    """Special tokens: by text in tokenizer_config.json (settings), by id in the other two files.

    ids: token text -> id.
    """

    ids: Mapping[str, int]
    settings: JsonObject
    generation: JsonObject
    config: JsonObject

    def stops(self) -> tuple[int, ...]:
        """The ids that end generation; generation_config.json comes first, as in transformers."""
        found = [
            *self._listed(self.generation, "eos"),
            *self._named("eos"),
            *self._listed(self.config, "eos"),
        ]
        if not found:
            raise DataError(
                "the checkpoint names no token that ends the text",
                hint="set eos_token_id in generation_config.json or eos_token in tokenizer_config.json",
            )
        stops = tuple(dict.fromkeys(found))
        if len(stops) > MAX_STOPS:
            raise self.generation.error("eos_token_id", f"at most {MAX_STOPS} tokens that end generation")
        return stops

    def first(self, kind: str) -> int | None:
        """The id of "bos", "unk" or "pad", None if no file names one."""
        found = [*self._named(kind), *self._listed(self.generation, kind), *self._listed(self.config, kind)]
        return found[0] if found else None

    def adds_bos(self, leading: str | None, *, usually: bool) -> bool:
        """Whether every text begins with the "bos" token.

        leading: the token that the tokenizer puts first, None if it does not say; then the setting
        add_bos_token counts, and ``usually`` if there is none.
        """
        bos = self.first("bos")
        if leading is not None:
            if self.ids.get(leading) != bos or bos is None:
                raise self.settings.error("bos_token", f"{leading!r}, which the tokenizer puts first")
            return True
        adds = self.settings.flag("add_bos_token", default=usually)
        if adds and bos is None:
            raise self.settings.error("bos_token", "the token that add_bos_token puts first")
        return adds

    def _named(self, kind: str) -> list[int]:
        key = f"{kind}_token"
        value = self.settings.values.get(key)
        text = value.get("content") if isinstance(value, dict) else value
        if text is None:
            return []
        if not isinstance(text, str) or text not in self.ids:
            raise self.settings.error(key, "a token of the tokenizer")
        return [self.ids[text]]

    def _listed(self, section: JsonObject, kind: str) -> list[int]:
        key = f"{kind}_token_id"
        value = section.values.get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        numbers = [
            v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < len(self.ids)
        ]
        if len(numbers) != len(values):
            raise section.error(key, f"ids from 0 to {len(self.ids) - 1}")
        return numbers
