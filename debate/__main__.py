"""`python -m debate` is the command `debate`."""

import sys

from debate.cli import main

sys.exit(main())
