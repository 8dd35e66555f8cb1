"""`llmattr` and `python -m llmattr`."""

import sys


def run() -> int:
    """The command, in which Ctrl-C ends in one line even while it is still being imported."""
    try:
        from llmattr.cli import main

        return main()
    except KeyboardInterrupt:
        print("\nllmattr: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
