"""Benchmarks: the library against what else there is, and against a minimal RPC written by hand."""
