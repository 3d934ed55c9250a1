"""Starts the process that workflows run in: `python -I -S boot.py`. As short as can be: a started file is never cached.

-I takes this folder off the path; it is put there for the imports of ours and taken off again. Bytecode of these
is written beside them (hence no -B): by trusted code only, a shut-in worker can write nothing.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib costs 6 ms
import lockdown  # type: ignore[import-not-found]
import nursery  # type: ignore[import-not-found]
import runtime  # type: ignore[import-not-found]

del sys.path[0]
sys.dont_write_bytecode = True
nursery.main(lockdown, runtime)
