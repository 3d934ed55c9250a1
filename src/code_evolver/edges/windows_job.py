"""A Windows job object around a child: memory, processor time, one process, dies with us. By ctypes; on other systems nothing.

Written from the documentation of CreateJobObjectW and JOBOBJECT_EXTENDED_LIMIT_INFORMATION (learn.microsoft.com) and checked
by the type checker for Windows alone: it has never run there.
"""

import sys
from typing import TYPE_CHECKING

from code_evolver.core.child_frames import Limits

if TYPE_CHECKING:
    import subprocess

_EXTENDED, _UI = 9, 4
"""JobObjectExtendedLimitInformation, JobObjectBasicUIRestrictions."""
_PROCESS_TIME, _ACTIVE_PROCESS, _PROCESS_MEMORY, _DIE_ON_EXCEPTION, _KILL_ON_CLOSE = 0x2, 0x8, 0x100, 0x400, 0x2000
_ALL_UI = 0xFF
_TICKS = 10_000_000
"""A second in units of 100 ns."""


class Job:
    """A job object with one process in it. `close` kills what is still in it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def around(cls, process: "subprocess.Popen[bytes]", limits: Limits) -> "Job | None":
        """Put a process that has not begun its work into a new job. None where there are none, or Windows refuses."""
        if sys.platform == "win32":
            handle = _confine(int(process._handle), limits)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way to it
            if handle:
                return cls(handle)
        return None

    def close(self) -> None:
        """Kill the process, give the handle back; a second time does nothing."""
        if sys.platform == "win32" and self._handle:
            _kernel32().CloseHandle(self._handle)
            self._handle = 0


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Basic(ctypes.Structure):
        """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

        _fields_ = (
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER), ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD), ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t), ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t), ("PriorityClass", wintypes.DWORD), ("SchedulingClass", wintypes.DWORD),
        )  # fmt: skip

    class _Extended(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION; the six counters in the middle are IO_COUNTERS."""

        _fields_ = (
            ("BasicLimitInformation", _Basic), ("IoInfo", ctypes.c_ulonglong * 6), ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t), ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )  # fmt: skip

    def _kernel32() -> "ctypes.WinDLL":
        library = ctypes.WinDLL("kernel32", use_last_error=True)
        library.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
        library.CreateJobObjectW.restype = wintypes.HANDLE
        library.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
        library.SetInformationJobObject.restype = wintypes.BOOL
        library.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
        library.AssignProcessToJobObject.restype = wintypes.BOOL
        library.CloseHandle.argtypes = (wintypes.HANDLE,)
        library.CloseHandle.restype = wintypes.BOOL
        return library

    def _confine(process: int, limits: Limits) -> int:
        """Make the job and put the process in; 0 where Windows refuses."""
        kernel = _kernel32()
        job = kernel.CreateJobObjectW(None, None)
        if not job:
            return 0
        wanted = _Extended()
        wanted.BasicLimitInformation.LimitFlags = (
            _PROCESS_TIME | _ACTIVE_PROCESS | _PROCESS_MEMORY | _DIE_ON_EXCEPTION | _KILL_ON_CLOSE
        )
        wanted.BasicLimitInformation.PerProcessUserTimeLimit = (limits.cpu + 1) * _TICKS
        wanted.BasicLimitInformation.ActiveProcessLimit = 1
        wanted.ProcessMemoryLimit = limits.memory
        ui = wintypes.DWORD(_ALL_UI)
        done = (
            kernel.SetInformationJobObject(job, _EXTENDED, ctypes.byref(wanted), ctypes.sizeof(wanted))
            and kernel.SetInformationJobObject(job, _UI, ctypes.byref(ui), ctypes.sizeof(ui))
            and kernel.AssignProcessToJobObject(job, process)
        )
        if not done:
            kernel.CloseHandle(job)
            return 0
        return int(job)
