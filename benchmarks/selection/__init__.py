"""What choosing among many chains is worth: votes guided by head and inverse consistency, measured on held-out problems.

    python -m benchmarks.selection problems            # writes the task files
    sage eval pico build/selection/test.jsonl --samples build/selection/test-samples.jsonl ...
    python -m benchmarks.selection votes               # rules compared on the same chains -> records/selection.json
    python -m benchmarks.selection modes               # think and auto beside fast -> records/modes.json

The settings of every rule come from the validation problems alone.
"""
