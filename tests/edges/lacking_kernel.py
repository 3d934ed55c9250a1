"""A python that runs on a kernel without a part: `python lacking_kernel.py landlock,seccomp ARGUMENTS…`, started by a test.

It puts a filter of its own around itself, by which the kernel answers as one without that part, and becomes python. x86-64 only.
"""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import code_evolver

LANDLOCK, PRCTL, SECCOMP = 444, 157, 317
PARTS = {"landlock": (LANDLOCK, None), "seccomp": (PRCTL, 22), "no_new_privs": (PRCTL, 38)}
"""Part → the system call that it answers to, and the first argument; the second and third of them are options of prctl."""
EINVAL, ENOSYS, ARGUMENT_0 = 22, 38, 16


def main() -> None:
    spec = spec_from_file_location("lockdown", Path(code_evolver.__file__).parent / "child" / "lockdown.py")
    assert spec is not None
    assert spec.loader is not None
    lockdown = module_from_spec(spec)
    spec.loader.exec_module(lockdown)
    op, load, equal, leave = lockdown._op, lockdown._LOAD, lockdown._EQUAL, lockdown._RETURN
    program = []
    for part in sys.argv[1].split(","):
        number, first = PARTS[part]
        program += [op(load, 0)]
        if first is None:
            program += [op(equal, number, 0, 1), op(leave, lockdown.ERRNO | ENOSYS)]
        else:
            program += [
                op(equal, number, 0, 3), op(load, ARGUMENT_0), op(equal, first, 0, 1), op(leave, lockdown.ERRNO | EINVAL),
            ]  # fmt: skip
    program += [op(leave, lockdown.ALLOW)]
    kernel = lockdown.Kernel()
    kernel.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
    lockdown.seal(kernel, b"".join(program))
    os.execve(sys.executable, [sys.executable, *sys.argv[2:]], {})


if __name__ == "__main__":
    main()
