"""The training benchmarks: facts and LDS."""
