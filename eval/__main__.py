"""`python -m eval NAME [OPTIONS]` runs a benchmark; without a name it lists what there is."""

import sys
from importlib import import_module

from eval import BENCHMARKS
from llmattr.core.progress import log_progress


def run(argv: list[str]) -> int:
    """Run the benchmark that the first word names, with the other words as its options."""
    if argv and argv[0] in BENCHMARKS:
        log_progress()
        command = import_module(f"eval.{BENCHMARKS[argv[0]].place}").command
        return command.main(args=argv[1:], prog_name=f"python -m eval {argv[0]}")
    if argv and argv[0] not in ("-h", "--help"):
        print(f"there is no benchmark {argv[0]!r}", file=sys.stderr)
    print("python -m eval NAME [OPTIONS]; --help after the name shows its options\n")
    for name, one in BENCHMARKS.items():
        print(f"  {name:14} {one.line}")
    print("\nminutes: on two cores; the data: python -m eval data")
    return 0 if not argv or argv[0] in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
