"""What the benchmarks share: the tokens, the other libraries, and rounds in which all take turns."""
