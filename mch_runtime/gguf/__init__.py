"""GGUF files: a bounded reader, and the guard that a file passes before llama.cpp sees it.

``mch_runtime.gguf_file`` is the way in.
"""
