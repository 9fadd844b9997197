"""Quantization of GGUF files by llama.cpp, the head carried over."""
