"""What all benchmarks share: the command line, parts, jobs, records."""
