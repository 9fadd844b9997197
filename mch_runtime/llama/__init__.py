"""llama.cpp behind the Session protocol. Only ``abi.py`` knows ctypes and llama_cpp."""
