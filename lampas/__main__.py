"""`python -m lampas`."""

import sys

from lampas.cli import main

if __name__ == "__main__":
    sys.exit(main())
