"""`python -m llmattr` is the `llmattr` command."""

import sys

from llmattr.cli import main

sys.exit(main())
