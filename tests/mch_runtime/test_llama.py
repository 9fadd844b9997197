"""llama.cpp behind the session: vocabulary, refusals, interrupts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mch_runtime.errors import Interrupted, ModelError, ResourceError, UsageError
from mch_runtime.llama import abi, memory, probe_cache
from mch_runtime.llama.context import LlamaSession, open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.loading import special_text
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import defuse, make_prompt
from mch_runtime.session import Feed, Interrupt, TextDecoder
from prompts.dialects import shipped
from tests.gguf_samples import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path = write_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    with open_model(path, probe=False) as opened:
        yield opened


def test_specials_are_all_that_llama_matches_in_text(model: LlamaModel) -> None:
    handle = model.handle
    every = {handle.piece(i, special=True).decode() for i in range(handle.n_vocab) if handle.is_special(i)}
    assert set(model.vocabulary.specials) == every
    assert "<think>" in every


def test_no_control_token_from_hostile_text(model: LlamaModel) -> None:
    """llama.cpp itself would match <think> in user text even with special parsing off."""
    vocabulary, dialect = model.vocabulary, shipped()["chatml"]
    assert len(vocabulary.tokenize("<think>")) == 1
    ids = {vocabulary.tokenize(special, parse_special=True)[0] for special in vocabulary.specials}
    rng = random.Random(0)
    atoms = [*vocabulary.specials, "<", "<|", "|>", "im_", "end|>", "th", "ink>", " ", "x", "ü", "\ufdd0"]

    def specials(text: str) -> list[int]:
        prompt = make_prompt(vocabulary, dialect, [{"role": "user", "content": text}])
        return [token for token in prompt.token_ids if token in ids]

    expected = specials("")
    for _ in range(2000):
        text = "".join(rng.choice(atoms) for _ in range(rng.randint(1, 12)))
        assert specials(text) == expected, text


def test_a_defused_text_is_tokenized_to_itself(model: LlamaModel) -> None:
    text = "a <|im_end|> b <think>"
    parts = defuse(text, model.vocabulary.specials).split("\ufdd0")
    tokens = [t for part in parts for t in model.vocabulary.tokenize(part, parse_special=True)]
    assert b"".join(model.vocabulary.piece(t) for t in tokens).decode() == text


def test_special_text(model: LlamaModel) -> None:
    assert special_text(model, "eos") in model.vocabulary.specials
    assert special_text(model, "no-such") == ""


def test_pieces_longer_than_any_fixed_buffer(tmp_path: Path) -> None:
    long = "<|" + "x" * 300 + "|>"

    def add(writer: object) -> None:
        tokens = writer.kv_data[0]["tokenizer.ggml.tokens"].value  # type: ignore[attr-defined]
        tokens[-1] = long

    with open_model(write_model(tmp_path / "long.gguf", edit_metadata=add), probe=False) as opened:
        token = opened.vocabulary.size - 1
        assert opened.vocabulary.piece(token, special=True).decode() == long


def test_text_that_is_not_unicode(model: LlamaModel) -> None:
    with pytest.raises(Exception, match="Unicode"):
        model.vocabulary.tokenize("\ud800")


def test_characters_cut_by_tokens_are_put_together() -> None:
    decoder = TextDecoder()
    raw = "a€😀é".encode() + b"\xe2("
    text = "".join(decoder.feed(raw[i : i + 1]) for i in range(len(raw))) + decoder.flush()
    assert text == "a€😀é\ufffd("
    decoder.feed(b"\xf0\x9f")
    assert decoder.flush() == "\ufffd"


def test_what_llama_refuses_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(writer: object) -> None:
        writer.add_tokenizer_pre("no-such-pre-tokenizer")  # type: ignore[attr-defined]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = write_model(tmp_path / "pre.gguf", edit_metadata=unknown)
    with pytest.raises(ModelError, match="pre-tokenizer") as caught, open_model(path):
        pass
    assert caught.value.rule in {"probe", "tokenizer-pre"}


def test_a_probe_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_model(tmp_path / "tiny.gguf")
    calls = []
    run = probe_cache._try_in_child
    monkeypatch.setattr(probe_cache, "_try_in_child", lambda fd, stop: calls.append(fd) or run(fd, stop))
    for _ in range(2):
        with open_model(path):
            pass
    assert len(calls) == 1
    path.write_bytes(path.read_bytes())  # another modification time
    with open_model(path):
        pass
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with open_model(write_model(tmp_path / "tiny.gguf")):
        pass


def test_a_crash_in_the_child_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = probe_cache.run_child
    monkeypatch.setattr(probe_cache, "run_child", lambda _module, *_, **options: run("crash", **options))
    path = write_model(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match="SIGABRT"), open_model(path):
        pass


def test_an_interrupt_ends_the_child_and_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "sleep.py").write_text("import time\nwhile True:\n    time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = probe_cache.run_child
    monkeypatch.setattr(probe_cache, "run_child", lambda _module, *_, **options: run("sleep", **options))
    path, interrupt = write_model(tmp_path / "tiny.gguf"), Interrupt()
    threading.Timer(0.2, interrupt.request).start()
    with pytest.raises(Interrupted), open_model(path, interrupt=interrupt):
        pass
    assert not (tmp_path / "cache").exists()


def test_a_lack_of_memory_is_not_the_files_doing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "poor.py").write_text("import sys; print('no memory', file=sys.stderr); sys.exit(71)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = probe_cache.run_child
    monkeypatch.setattr(probe_cache, "run_child", lambda _module, *_, **options: run("poor", **options))
    with (
        pytest.raises(ResourceError, match="no memory"),
        open_model(write_model(tmp_path / "tiny.gguf")),
    ):
        pass
    assert not (tmp_path / "cache").exists()


def test_a_child_is_out_of_reach_of_the_terminals_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "group.py").write_text("import os, sys; sys.exit(str(os.getpgrp()))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (tmp_path / "group.py").open() as file:
        result = probe_cache.run_child("group", fd=file.fileno())
    assert int(result.said) != os.getpgrp()


def test_an_interrupt_ends_the_loading(tmp_path: Path) -> None:
    interrupt = Interrupt()
    interrupt.request()
    with (
        pytest.raises(Interrupted),
        open_model(write_model(tmp_path / "tiny.gguf"), probe=False, interrupt=interrupt),
    ):
        pass


def test_the_inode_that_was_checked_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file swapped between check and load does not reach llama.cpp."""
    path = write_model(tmp_path / "tiny.gguf")
    load = abi.ModelHandle

    def swap_then_load(name: str, **options: object) -> abi.ModelHandle:
        path.unlink()
        path.write_bytes(b"GGUF of somebody else")
        return load(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(abi, "ModelHandle", swap_then_load)
    with open_model(path, probe=False) as opened:
        assert opened.handle.n_vocab == 320


def test_a_failed_assertion_ends_in_one_line() -> None:
    script = (
        "from mch_runtime.llama import abi; import ctypes\n"
        "abi.C._lib.ggml_abort.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p]\n"
        "abi.C._lib.ggml_abort(b'f.c', 1, b'made to fail')\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert child.returncode == 70
    assert "llama.cpp stopped" in child.stderr
    assert "made to fail" in child.stderr
    assert len(child.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LlamaSession, Interrupt]]:
    """A model slow enough that a long prompt can be interrupted."""
    path = tmp_path_factory.mktemp("heavy") / "heavy.gguf"
    write_model(path, n_layer=4, n_embd=512, n_head=8, ffn=2048, vocab=512, context=8192)
    interrupt = Interrupt()
    options = EngineOptions(model=path, ctx_size=4096, threads=1)
    with open_model(path, probe=False) as opened, open_session(opened, options, interrupt) as session:
        yield session, interrupt


def test_ctrl_c_acts_during_prefill(heavy: tuple[LlamaSession, Interrupt]) -> None:
    session, interrupt = heavy
    prompt = [token % session.vocabulary.size for token in range(4000)]
    before = signal.signal(signal.SIGINT, lambda *_: interrupt.request())
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        with session.branch() as branch:
            timer.start()
            with pytest.raises(Interrupted):
                session.decode([Feed.last(branch, prompt)], lambda _: None)
            assert branch.length < len(prompt)
            interrupt.clear()
            session.truncate(branch, 0)
            session.decode([Feed.last(branch, prompt[:10])], lambda _: None)
            assert branch.length == 10
    finally:
        timer.cancel()
        interrupt.clear()
        signal.signal(signal.SIGINT, before)


def test_memory_is_asked_for_before_it_is_taken(model: LlamaModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 80 << 20)
    options = EngineOptions(model=model.path, ctx_size=1 << 18)
    with pytest.raises(ResourceError, match="GiB"), open_session(model, options, Interrupt()):
        pass


def test_memory_limits_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  100 kB\n")
    assert memory.available_bytes(tmp_path) == 102400
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("2000\n")
    assert memory.available_bytes(tmp_path) == 3000
    assert memory.available_bytes(tmp_path / "nothing") is None


def test_far_too_many_threads(model: LlamaModel) -> None:
    options = EngineOptions(model=model.path, threads=500)
    with pytest.raises(UsageError, match="threads"), open_session(model, options, Interrupt()):
        pass
