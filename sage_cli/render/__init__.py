"""Values to text, one module per format. Renderers never compute and never print."""
