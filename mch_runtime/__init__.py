"""The runtime of sage: a language model in llama.cpp and its meta-cognitive head in numpy.

``mch_runtime.engine.Engine`` is the way in; importing this package does nothing.
"""
