"""Shut this process in: limits, no_new_privs, Landlock, a sealed seccomp filter; an audit hook where those are missing.

Standard library only. Everything that a workflow needs must be imported before: the filter allows no path system call.
Syscall numbers: Linux `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (aarch64; not run on such hardware).
"""

from __future__ import annotations

import os
import struct
import sys

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

TYPE_CHECKING = False  # as typing says it; its import would cost every child 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SIGKILL = 9
EPERM, ENOSYS = 1, 38

# name: (x86-64, aarch64); None where the architecture has no such call
_ALLOWED = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "poll": (7, None), "lseek": (8, 62),
    "munmap": (11, 215), "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "select": (23, None), "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233),
    "nanosleep": (35, 101), "getpid": (39, 172), "exit": (60, 93), "gettimeofday": (96, 169), "getrusage": (98, 165),
    "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177),
    "getppid": (110, 173), "sigaltstack": (131, 132), "gettid": (186, 178), "time": (201, None), "futex": (202, 98),
    "restart_syscall": (219, 128), "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "exit_group": (231, 94), "pselect6": (270, 72), "ppoll": (271, 73), "set_robust_list": (273, 99),
    "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
}  # fmt: skip
_NO_EXEC = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed without PROT_EXEC (third argument)."""
_KILL = {
    "execve": (59, 221), "kill": (62, 129), "ptrace": (101, 117), "pivot_root": (155, 41), "chroot": (161, 51),
    "mount": (165, 40), "umount2": (166, 39), "swapon": (167, 224), "reboot": (169, 142), "init_module": (175, 105),
    "tkill": (200, 130), "kexec_load": (246, 104), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "unshare": (272, 97), "perf_event_open": (298, 241), "rt_tgsigqueueinfo": (297, 240), "open_by_handle_at": (304, 265),
    "setns": (308, 268), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "finit_module": (313, 273), "bpf": (321, 280), "execveat": (322, 281), "userfaultfd": (323, 282),
    "pidfd_send_signal": (424, 424), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
}  # fmt: skip
"""Never honest: the process dies of SIGSYS, which the parent reports as a policy violation. The rest gets EPERM."""
_CLONE3 = 435
_ARCH = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NR, _ARCH_AT, _ARG2 = 0, 4, 32
_X32 = 0x40000000
_PROT_EXEC = 4


def _op(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def seccomp_filter(machine: str) -> bytes:
    """Build the filter's bytes for "x86_64" or "aarch64"; KeyError for any other."""
    column, arch = _ARCH[machine]
    out = [_op(_LOAD, _ARCH_AT), _op(_EQUAL, arch, 1), _op(_RETURN, KILL), _op(_LOAD, _NR)]
    if machine == "x86_64":
        out += [_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, KILL)]
    for numbers, action in ((_ALLOWED, ALLOW), (_KILL, KILL)):
        for pair in numbers.values():
            number = pair[column]
            if number is not None:
                out += [_op(_EQUAL, number, 0, 1), _op(_RETURN, action)]
    out += [_op(_EQUAL, _CLONE3, 0, 1), _op(_RETURN, ERRNO | ENOSYS)]
    for pair in _NO_EXEC.values():
        out += [_op(_EQUAL, pair[column], 0, 4), _op(_LOAD, _ARG2), _op(_ANY_BIT, _PROT_EXEC, 0, 1),
                _op(_RETURN, ERRNO | EPERM), _op(_RETURN, ALLOW)]  # fmt: skip
    out.append(_op(_RETURN, ERRNO | EPERM))
    return b"".join(out)


class Kernel:
    """The three system interfaces that Python does not offer: prctl, syscall, and errno after them."""

    def __init__(self) -> None:
        import ctypes  # here: costs 2 ms and exists for nothing else

        self.ctypes = ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        self._prctl, self._syscall = libc.prctl, libc.syscall
        long, ulong, pointer = ctypes.c_long, ctypes.c_ulong, ctypes.c_void_p
        self._prctl.argtypes = [ctypes.c_int, ulong, pointer, ulong, ulong]
        self._syscall.argtypes = [long, pointer, ulong, ulong]
        self._syscall.restype = long

    def forget(self) -> None:
        """Let go of all of it: where no seal stands, a program must not find these in our frames."""
        del self.ctypes, self._prctl, self._syscall

    def prctl(self, option: int, value: int = 0, pointer: bytes | None = None) -> None:
        """Raise OSError where the kernel refuses."""
        if self._prctl(option, value, pointer, 0, 0) != 0:
            raise OSError(self.ctypes.get_errno(), f"prctl {option}")

    def syscall(self, number: int, pointer: bytes | int | None = None, first: int = 0, second: int = 0) -> int:
        """Raise OSError where the kernel refuses; give its answer."""
        answer: int = self._syscall(number, pointer, first, second)
        if answer < 0:
            raise OSError(self.ctypes.get_errno(), f"syscall {number}")
        return answer


def die_with_parent(kernel: Kernel, parent: int) -> None:
    """Be killed when the creating thread ends; leave at once where it ended already."""
    kernel.prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(9)


_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Landlock ABI → number of file system rights it knows (`linux/landlock.h`)."""
_CREATE_RULESET, _RESTRICT_SELF = 444, 446


def landlock(kernel: Kernel) -> int:
    """Deny every file system right, TCP and outside signals that this kernel's Landlock knows; give its ABI (0: none)."""
    try:
        abi = kernel.syscall(_CREATE_RULESET, None, 0, 1)
        rights = (1 << _FS_BITS.get(abi, 16)) - 1
        words = [rights, *([3] if abi >= 4 else []), *([3] if abi >= 6 else [])]
        attributes = struct.pack(f"={len(words)}Q", *words)
        ruleset = kernel.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
        kernel.syscall(_RESTRICT_SELF, ruleset)
        os.close(ruleset)
    except OSError:
        return 0
    return abi


def limit(limits: Mapping[str, Any]) -> list[str]:
    """Lower the limits of this process; give the names of those that the system refused. Windows: the parent's job does it."""
    if not resource:
        return [] if limits.get("job") else ["limits"]
    refused = []
    cpu = int(limits["cpu"])
    for name, soft, hard in (
        ("RLIMIT_CORE", 0, 0), ("RLIMIT_FSIZE", 0, 0), ("RLIMIT_NPROC", 0, 0), ("RLIMIT_NOFILE", 8, 8),
        ("RLIMIT_CPU", cpu, cpu + 1), ("RLIMIT_AS", limits["memory"], limits["memory"]),
    ):  # fmt: skip
        try:
            resource.setrlimit(getattr(resource, name), (soft, hard))
        except (AttributeError, ValueError, OSError):
            refused.append(name)
    return refused


def own_filter() -> bytes:
    """Build this machine's filter. Raises KeyError where there is none."""
    if sys.maxsize < 2**32:
        raise KeyError("32 bit")
    return seccomp_filter(os.uname().machine)


def prepare() -> tuple[Kernel | None, bytes]:
    """Build what every worker needs once, before the forks: the kernel's interfaces and the filter (b"": build it later)."""
    try:
        return (Kernel() if sys.platform == "linux" else None), own_filter()
    except (OSError, ImportError, AttributeError, KeyError):
        return None, b""


def seal(kernel: Kernel, program: bytes = b"") -> None:
    """Switch the filter on. Raises OSError or KeyError where this machine has none."""
    program = program or own_filter()
    ctypes = kernel.ctypes
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    kernel.prctl(PR_SET_SECCOMP, 2, head)


def shut_in(
    limits: Mapping[str, Any], *, want_seal: bool, kernel: Kernel | None = None, program: bytes = b""
) -> dict[str, Any]:
    """Do all of it, in the one order that works; give {"seccomp", "landlock", "missing"} for the parent to judge."""
    report: dict[str, Any] = {"seccomp": False, "landlock": 0, "missing": []}
    if sys.platform == "linux":
        try:
            kernel = kernel or Kernel()
            kernel.prctl(PR_SET_DUMPABLE, 0)
            kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
            report["landlock"] = landlock(kernel)
        except (OSError, ImportError, AttributeError) as error:
            kernel = None
            report["missing"].append(f"no_new_privs ({error})")
    else:
        kernel = None
        report["missing"].append(f"no kernel filter on {sys.platform}")
    report["missing"] += limit(limits)
    if kernel is not None and want_seal:
        try:
            seal(kernel, program)
            report["seccomp"] = True
        except (OSError, KeyError) as error:
            report["missing"].append(f"seccomp ({error})")
    if not report["seccomp"]:
        watch()
        disarm()
    return report


_HARMLESS = frozenset({
    "compile", "exec", "marshal.loads", "import", "time.sleep", "object.__getattr__", "builtins.id", "sys._getframe",
    "sys.unraisablehook", "sys.excepthook", "array.__new__", "re.compile",
})  # fmt: skip


def watch() -> None:
    """Refuse every audited deed that is not known to be harmless. A guard against mistakes, not a wall."""

    def guard(
        event: str,
        _arguments: tuple[Any, ...],
        harmless: frozenset[str] = _HARMLESS,
        refusal: type[Exception] = PermissionError,
    ) -> None:
        if event not in harmless:
            raise refusal(f"a workflow may not do this: {event}")

    sys.addaudithook(guard)


_NEEDED = frozenset({"read", "write", "close", "_exit", "fspath", "getpid", "urandom", "strerror"})


_TAKEN = {"time": {"clock_settime", "clock_settime_ns"}, "threading": {"_start_new_thread", "_start_joinable_thread"},
          "_thread": {"start_new_thread", "start_new", "start_joinable_thread"}}  # fmt: skip
_TAKEN_WHOLE = ("os", "posix", "nt", "signal", "_signal")


def disarm() -> None:
    """Put a refusal in the place of the system's functions: many of them (stat, setpriority) are not audited.

    Who builds such a module anew has them again: the hook is no wall, and this is none.
    """

    def refusal(module: str, name: str) -> Any:
        def refused(*_: Any, **_named: Any) -> None:
            raise PermissionError(f"a workflow may not do this: {module}.{name}")

        return refused

    kind = type(os._exit)
    for name in (*_TAKEN, *_TAKEN_WHOLE):
        module = sys.modules.get(name)
        for key, value in list(vars(module).items()) if module else ():
            if type(value) is kind and key in _TAKEN.get(name, {key}) - _NEEDED:
                setattr(module, key, refusal(name, key))
