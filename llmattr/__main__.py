"""`llmattr` and `python -m llmattr`."""

import os
import sys


def run() -> int:
    """The command, in which Ctrl-C ends in one line even while it is still being imported."""
    # Threads of a product wait for one another. Where others use the processor too, waiting awake takes it from the work that
    # is waited for: `cite` then took four times as long on two threads as on one. Asleep they lose a tenth on a quiet machine,
    # which a short look before they fall asleep (libgomp's, some microseconds) gives back.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        from llmattr.cli import main

        return main()
    except KeyboardInterrupt:
        print("\nllmattr: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
