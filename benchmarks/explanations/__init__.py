"""What explanations are worth, on chains of which the task generators know the truth."""
