"""Chat templates: the shipped ones as files, a bounded renderer for those that models bring."""
