"""How an answer is looked for. ``chain`` writes one chain of reasoning; ``fast`` takes the first."""
