from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from convert.json_file import JsonObject, read_json, read_optional_json
from convert.tokenizer import read_vocabulary
from convert.vocabulary import TokenType, Vocabulary
from mch_runtime.errors import DataError

Edit = Callable[[Path, Callable[[dict], object]], None]


def read(folder: Path, vocab_size: int = 632) -> Vocabulary:
    config = read_json(folder / "config.json", limit=1 << 20)
    generation = read_optional_json(folder / "generation_config.json", limit=1 << 20)
    return read_vocabulary(folder, config=config, generation=generation, vocab_size=vocab_size)


def test_gaps_are_filled_with_unused_tokens(tiny: Path) -> None:
    vocabulary = read(tiny, 700)
    assert vocabulary.tokens[605:] == tuple(f"[PAD{i}]" for i in range(605, 700))
    assert set(vocabulary.token_types[605:]) == {TokenType.UNUSED}
    assert vocabulary.token_types[600:605] == (*[TokenType.CONTROL] * 3, *[TokenType.USER_DEFINED] * 2)


def test_added_tokens_may_also_stand_in_the_model(tiny: Path, edit: Edit) -> None:
    before = read(tiny)
    edit(
        tiny / "tokenizer.json",
        lambda t: t["model"]["vocab"].update({a["content"]: a["id"] for a in t["added_tokens"]}),
    )
    assert read(tiny) == before


def test_merges_as_pairs_and_as_strings(tiny: Path, edit: Edit) -> None:
    before = read(tiny)
    edit(
        tiny / "tokenizer.json",
        lambda t: t["model"].update(merges=[merge.split(" ") for merge in t["model"]["merges"]]),
    )
    assert read(tiny) == before


@pytest.mark.parametrize(
    ("generation", "named", "config", "expected"),
    [
        ([602, 600], "<|im_end|>", 602, (602, 600)),
        (600, "<|im_end|>", None, (600, 602)),
        (None, "<|im_end|>", 600, (602, 600)),
        (None, None, 600, (600,)),
        (None, {"content": "<|im_end|>", "lstrip": False}, None, (602,)),
    ],
)
def test_stop_tokens(
    tiny: Path, edit: Edit, generation: object, named: object, config: object, expected: tuple[int, ...]
) -> None:
    edit(tiny / "generation_config.json", lambda g: g.update(eos_token_id=generation))
    edit(tiny / "tokenizer_config.json", lambda t: t.update(eos_token=named))
    edit(tiny / "config.json", lambda c: c.update(eos_token_id=config))
    assert read(tiny).stop_ids == expected


def test_template_from_settings_list_or_file(tiny: Path, edit: Edit) -> None:
    settings = tiny / "tokenizer_config.json"
    assert read(tiny).chat_template.startswith("{% for")
    many = [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]
    edit(settings, lambda t: t.update(chat_template=many))
    assert read(tiny).chat_template == "yes"
    (tiny / "chat_template.jinja").write_text("file")
    assert read(tiny).chat_template == "file"
    (tiny / "chat_template.jinja").unlink()
    edit(settings, lambda t: t.pop("chat_template"))
    assert read(tiny).chat_template is None


def test_settings_are_optional(tiny: Path) -> None:
    (tiny / "tokenizer_config.json").unlink()
    (tiny / "generation_config.json").unlink()
    assert read(tiny).stop_ids == (602,)


def test_tokens_in_control_brackets_are_control_tokens(tiny: Path, edit: Edit) -> None:
    """As llama.cpp's converter has it: publishers forget to mark them."""
    edit(tiny / "tokenizer.json", lambda t: t["added_tokens"][3].update(content="<|fim_prefix|>"))
    assert read(tiny).token_types[602:605] == (TokenType.CONTROL, TokenType.CONTROL, TokenType.USER_DEFINED)


def test_a_token_that_the_tokenizer_puts_first(tiny: Path, edit: Edit) -> None:
    first = [{"SpecialToken": {"id": "<|im_start|>"}}, {"Sequence": {"id": "A"}}]
    template = {"type": "TemplateProcessing", "single": first}
    sequence = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]}
    edit(tiny / "tokenizer_config.json", lambda t: t.update(bos_token="<|im_start|>"))
    for post in (template, sequence):
        edit(tiny / "tokenizer.json", lambda t, post=post: t.update(post_processor=post))
        assert read(tiny).add_bos
    edit(tiny / "tokenizer_config.json", lambda t: t.update(bos_token="<|im_end|>"))
    with pytest.raises(DataError, match="which the tokenizer puts first"):
        read(tiny)


def test_beginning_of_text(tiny: Path, edit: Edit) -> None:
    edit(tiny / "tokenizer_config.json", lambda t: t.update(add_bos_token=True, bos_token="<|im_start|>"))
    assert (read(tiny).bos_id, read(tiny).add_bos) == (601, True)


SPLIT, SPELL = 0, 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t["model"].update(type="Unigram"), "not BPE"),
        (lambda t: t["model"].update(byte_fallback=True, ignore_merges=True), "ignore_merges"),
        (lambda t: t.pop("model"), "not BPE"),
        (lambda t: t["model"].update(ignore_merges=True), "pre-tokenizer"),
        (lambda t: t["model"].update(dropout=0.1), "dropout"),
        (lambda t: t["model"].update(merges=[]), "without merges"),
        (lambda t: t["model"].update(merges=["a"]), "merge of unknown tokens"),
        (lambda t: t["model"].update(merges=["a \u0120\u0120\u0120x"]), "merge of unknown tokens"),
        (lambda t: t["model"].update(merges=[[1, 2]]), "merge of unknown tokens"),
        (lambda t: t["model"]["vocab"].update({"new": 1}), "the same id 1"),
        (lambda t: t["model"]["vocab"].update({"new": -1}), "new is -1"),
        (lambda t: t["model"]["vocab"].update({"new": "1"}), "new is '1'"),
        (lambda t: t["model"]["vocab"].update({"[PAD610]": 611}), "two tokens alike"),
        (lambda t: t["model"]["vocab"].update({"a\0b": 611}), "no GGUF can hold"),
        (lambda t: t["model"]["vocab"].update({"\ud800": 611}), "no GGUF can hold"),
        (lambda t: t["model"]["vocab"].update({"": 611}), "no GGUF can hold"),
        (lambda t: t["model"]["vocab"].update({"x" * 5000: 611}), "no GGUF can hold"),
        (lambda t: t["added_tokens"][0].update(lstrip=True), "with lstrip"),
        (lambda t: t["added_tokens"][0].update(content=None), "content is None"),
        (lambda t: t["added_tokens"].append("token"), "something else"),
        (lambda t: t.update(normalizer={"type": "Lowercase"}), "normalizer Lowercase"),
        (lambda t: t.update(pre_tokenizer=None), "pre-tokenizer"),
        (lambda t: t.update(pre_tokenizer={"type": "ByteLevel"}), "pre-tokenizer"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"].pop(SPELL), "pre-tokenizer"),
        (
            lambda t: t["pre_tokenizer"]["pretokenizers"][SPLIT].update(pattern={"Regex": "x"}),
            "pre-tokenizer",
        ),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][SPLIT].update(behavior="Removed"), "pre-tokenizer"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][SPELL].update(add_prefix_space=True), "pre-tokenizer"),
        (lambda t: t["pre_tokenizer"]["pretokenizers"][SPELL].update(use_regex=True), "pre-tokenizer"),
        (
            lambda t: t.update(
                post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}
            ),
            "adds tokens",
        ),
        (lambda t: t.update(post_processor={"type": "RobertaProcessing"}), "adds tokens"),
        (lambda t: t.update(post_processor={"type": "Sequence", "processors": [3]}), "adds tokens"),
    ],
)
def test_refused_tokenizers(tiny: Path, edit: Edit, change: Callable[[dict], object], expected: str) -> None:
    edit(tiny / "tokenizer.json", change)
    with pytest.raises(DataError, match=r"\A(tokenizer\.json|the tokenizer)") as caught:
        read(tiny)
    assert expected in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"eos_token": "<|nothing|>"}, "eos_token is '<|nothing|>'"),
        ({"pad_token": 3}, "pad_token is 3"),
        ({"chat_template": 3}, "chat_template is 3"),
        ({"chat_template": "x" * 300_000}, "larger than 262,144 bytes"),
        ({"chat_template": "\ud800"}, "not UTF-8"),
        ({"add_bos_token": "yes"}, "add_bos_token"),
    ],
)
def test_refused_settings(tiny: Path, edit: Edit, change: dict, expected: str) -> None:
    edit(tiny / "tokenizer_config.json", lambda t: t.update(change))
    with pytest.raises(DataError) as caught:
        read(tiny)
    assert expected in caught.value.message


def test_no_end_of_text(tiny: Path, edit: Edit) -> None:
    for name, key in (("config", "eos_token_id"), ("generation_config", "eos_token_id")):
        edit(tiny / f"{name}.json", lambda values, key=key: values.pop(key))
    edit(tiny / "tokenizer_config.json", lambda t: t.pop("eos_token"))
    with pytest.raises(DataError, match="names no token that ends the text"):
        read(tiny)


def test_too_many_ends_of_text(tiny: Path, edit: Edit) -> None:
    edit(tiny / "generation_config.json", lambda g: g.update(eos_token_id=[600, 601, 602, 603]))
    with pytest.raises(DataError, match="at most 3"):
        read(tiny)


def test_bos_without_a_token(tiny: Path, edit: Edit) -> None:
    for name in ("config", "generation_config"):
        edit(tiny / f"{name}.json", lambda values: values.update(bos_token_id=None))
    edit(tiny / "tokenizer_config.json", lambda t: t.update(add_bos_token=True))
    with pytest.raises(DataError, match="bos_token is None"):
        read(tiny)


def test_json_fields_name_their_place() -> None:
    section = JsonObject("file.json", {"inner": {"n": 1.5}}).section("inner")
    assert section is not None
    with pytest.raises(DataError, match=r"file\.json: inner: n is 1\.5, expected an integer from 0 to 9"):
        section.integer("n", low=0, high=9)
    with pytest.raises(DataError, match="m is missing"):
        section.number("m", high=1)
