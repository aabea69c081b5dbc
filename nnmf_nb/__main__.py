"""`python -m nnmf_nb`: see the notebook 'The command line'."""

# Written by hand, as the __init__.py files are: a notebook would run it.
import sys

from nnmf_nb._command_line import main

if __name__ == "__main__":
    sys.exit(main())
