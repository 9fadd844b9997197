"""Making sage-pico, the embedded model: data, base model, traces, head, export.

Needs torch; nothing that ships imports it. ``python -m training --help`` lists the stages.
"""
