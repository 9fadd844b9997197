"""The command line. The only package that knows Typer and Rich; importing it does nothing."""
