"""A task → the name of its node: safe as a folder on Linux, macOS and Windows, and never the name of a module."""

import re
from collections.abc import Callable
from functools import lru_cache

from code_evolver.core.shape import subject, verb_words
from code_evolver.core.task import Task

LONGEST_NAME = 64
_SAFE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
)
_MODULES = frozenset(
    """abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins
    bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent configparser
    contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils
    doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp
    importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math
    mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator
    optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint
    profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource
    rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib sndhdr socket
    socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess
    sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit
    tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest
    urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport
    zlib zoneinfo test tests setup main conftest sitecustomize usercustomize pip pkg_resources setuptools wheel
    node_runtime code_evolver start_signalr_training nodes tools""".split()  # noqa: SIM905 - words read better than 250 quoted strings
)
"""Importable names: of the standard library of Python 3.11 to 3.13 (a list, so that a name is the same on each), and ours."""


def safe_name(text: str) -> bool:
    """Say whether `text`, which may come from outside, can be a node's name: a folder's name and nothing else."""
    return bool(_SAFE.match(text)) and text not in _DEVICES and text not in _MODULES


def node_name(task: Task) -> str:
    """Name the node of `task`: the verb of its type and the words of its subject, at most 64 characters, always safe.

    Tasks of one node key have one name; two node keys may share one: see free_name.
    """
    return _joined(verb_words(task.type), subject(task))


@lru_cache(maxsize=2048)
def _joined(verb: str, words: tuple[str, ...]) -> str:
    name = verb
    for word in words:
        longer = f"{name}_{word}"
        if len(longer) > LONGEST_NAME:
            if name == verb:
                name = longer[:LONGEST_NAME]
            break
        name = longer
    return name if safe_name(name) else f"node_{name}"[:LONGEST_NAME].rstrip("_")


def free_name(base: str, taken: Callable[[str], bool]) -> str:
    """Give `base`, else base_2, base_3, …: the first that `taken` (asked in lower case) does not know; at most 64 characters."""
    name, number = base.lower(), 1
    while taken(name):
        number += 1
        tail = f"_{number}"
        name = base.lower()[: LONGEST_NAME - len(tail)] + tail
    return name
