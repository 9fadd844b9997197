"""The meta-cognitive head: its values, its forward pass in numpy, and the file it lives in."""
