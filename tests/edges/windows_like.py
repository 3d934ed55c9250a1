"""A python that looks like one on Windows to child/boot.py: no fork, no resource, another platform. Started by a test.

`python windows_like.py -I -S boot.py`. What it cannot have: Windows itself, its sockets, handles and job objects.
"""

import os
import runpy
import sys

sys.platform = "win32"
sys.modules["resource"] = None  # type: ignore[assignment]
for name in ("fork", "uname", "getppid", "wait4", "pidfd_open"):
    delattr(os, name)
boot = sys.argv[3]
sys.argv = [boot]
runpy.run_path(boot, run_name="__main__")
