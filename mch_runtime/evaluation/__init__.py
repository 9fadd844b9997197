"""How good answers are: problems and their right answers, samples of a model's chains, measures, a report.

Everything here is computed from what was written down; the engine that writes it is not known here.
"""
