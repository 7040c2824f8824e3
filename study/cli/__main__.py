"""`python -m study.cli`."""

import sys

from study.cli import main

sys.exit(main())
