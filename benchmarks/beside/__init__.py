"""Shared by the benchmarks: the tokens, the other libraries, and interleaved rounds."""
