"""GGUF files: a bounded reader, and the guard that a file passes before llama.cpp sees it.

Use them through ``mch_runtime.gguf_file``.
"""
