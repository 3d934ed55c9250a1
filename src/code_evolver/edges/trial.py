"""Runs programs in isolated children: `ChildTrials` is the port `Trials` for proofs and for real runs."""

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from code_evolver.core.child_frames import REAL, TRIAL, BadFrame, Limits, frame, read_calls, write_answer
from code_evolver.core.errors import NodeError
from code_evolver.core.gate import imports_of, tags_of
from code_evolver.core.gate_tables import MODULES
from code_evolver.core.strict_json import escape
from code_evolver.core.stubs import stub_answer
from code_evolver.core.trials import Answer, Answerer, Call, Case, Run, StopReason, Trial
from code_evolver.edges.child_process import Channel, ChildLost, Children, Nursery, Plan, default_python
from code_evolver.edges.child_spawn import Spawned

Level = Literal["isolated", "guarded"]
Start = Literal["fork", "spawn"]
MOST_STUCK = 2
"""So many runs stopped at a time limit end a trial: the rest would take as long and say the same."""
BACKLOG = 1 << 20
"""Bytes of answers that may wait for a child before we stop reading from it."""
PIECE = 65536
AHEAD = 2
"""So many workers run while one is served: a second core has work, and no more of them compete with it."""


@dataclass(slots=True)
class _Progress:
    """What one run has done so far."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    stderr_size: int = 0
    calls: list[Call] = field(default_factory=list)
    out_of_memory: bool = False
    stopped: StopReason = ""
    note: str = ""


class _Stop(Exception):
    def __init__(self, reason: StopReason, note: str = "") -> None:
        super().__init__(reason)
        self.reason: StopReason = reason
        self.note = note


class _Session:
    """One case: send program and input, serve calls, collect output, until it ends or is stopped."""

    def __init__(self, channel: Channel, limits: Limits, tools: Sequence[str], answer: Answerer) -> None:
        self._channel, self._limits, self._tools, self._answer = channel, limits, frozenset(tools), answer
        self._out = bytearray()
        self.cpu_limit = limits.cpu
        self.progress = _Progress()
        self._kinds: Mapping[bytes, Callable[[bytes], None]] = {
            b"O": self._on_stdout, b"E": self._on_stderr, b"C": self._on_calls, b"X": self._on_end,
        }  # fmt: skip

    def start(self, code: bytes, data: bytes) -> None:
        """Send program and input, as much of them as the worker's socket takes at once: it may begin before `run` serves it."""
        self._out += frame(b"P", code) + frame(b"I", data)
        self._channel.sock.settimeout(0)
        with suppress(OSError):  # full, or gone: `run` sees to either
            while self._out:
                del self._out[: self._channel.sock.send(memoryview(self._out)[:PIECE].tobytes())]

    def run(self) -> None:
        """Serve it to the end; `progress.stopped` says if a limit was met."""
        self._deadline = time.monotonic() + self._limits.wall
        try:
            with selectors.DefaultSelector() as selector:
                self._loop(selector)
        except _Stop as stop:
            self.progress.stopped, self.progress.note = stop.reason, stop.note
        except BadFrame as broken:
            self.progress.stopped, self.progress.note = "policy", str(broken)

    def _loop(self, selector: selectors.BaseSelector) -> None:
        sock = self._channel.sock
        selector.register(sock, selectors.EVENT_READ)
        open_ = True
        while open_:
            reading = selectors.EVENT_READ if len(self._out) < BACKLOG else 0
            selector.modify(sock, reading | (selectors.EVENT_WRITE if self._out else 0))
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise _Stop("wall")
            for _, events in selector.select(left):
                open_ = self._step(events)

    def _step(self, events: int) -> bool:
        try:
            if events & selectors.EVENT_WRITE:
                del self._out[: self._channel.sock.send(memoryview(self._out)[:PIECE].tobytes())]
            if events & selectors.EVENT_READ:
                data = self._channel.sock.recv(PIECE)
                for kind, body in self._channel.frames.feed(data):
                    self._on_frame(kind, body)
                return bool(data)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        return True

    def _on_frame(self, kind: bytes, body: bytes) -> None:
        handler = self._kinds.get(kind)
        if handler is None:
            raise BadFrame(f"frame {kind!r} at this point")
        handler(body)

    def _on_stdout(self, body: bytes) -> None:
        room = self._limits.stdout - len(self.progress.stdout)
        self.progress.stdout += body[:room]
        if len(body) > room:
            raise _Stop("output", f"over {self._limits.stdout} bytes on stdout")

    def _on_stderr(self, body: bytes) -> None:
        self.progress.stderr += body[: max(0, self._limits.stderr_kept - len(self.progress.stderr))]
        self.progress.stderr_size += len(body)
        if self.progress.stderr_size > self._limits.stderr:
            raise _Stop("output", f"over {self._limits.stderr} bytes on stderr")

    def _on_end(self, body: bytes) -> None:
        self.progress.out_of_memory = body == b"memory"

    def _on_calls(self, body: bytes) -> None:
        calls = read_calls(body)
        allowed = [call for call in calls if call.tool in self._tools]
        if len(self.progress.calls) + len(allowed) > self._limits.calls:
            raise _Stop("calls", f"over {self._limits.calls} tool calls")
        self.progress.calls += allowed
        began = time.monotonic()
        given = iter(self._answer(allowed) if allowed else ())
        self._deadline += time.monotonic() - began
        answers = [next(given) if call.tool in self._tools else _not_allowed(call) for call in calls]
        self._out += frame(b"A", json.dumps([write_answer(answer) for answer in answers]).encode())


def _not_allowed(call: Call) -> Answer:
    return Answer(error=f"This workflow may not call the tool {call.tool[:80]!r}.", code="tool_not_allowed")


def _stubs(case: Case) -> Answerer:
    return lambda calls: [stub_answer(call, case.failing) for call in calls]


def _failing(answer: Answerer, failing: str) -> Answerer:
    """Let the tool that a case names fail, whoever answers the others."""

    def answers(calls: Sequence[Call]) -> Sequence[Answer]:
        given = iter(answer([call for call in calls if call.tool != failing]))
        return [stub_answer(call, failing) if call.tool == failing else next(given) for call in calls]

    return answers if failing else answer


class TooWeak(NodeError):
    """A program may not run at the level that was reached: it was not given to the child. `detail` says what is missing."""

    code = "isolation_required"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"This machine reaches the level guarded only ({detail}).",
            "Allow it with CODE_EVOLVER_ISOLATION=guarded, or `isolation: guarded` in config.yaml, if you trust the program.",
        )
        self.detail = detail


def own_start() -> Start:
    """Say how this system starts children: Windows has no fork."""
    return "fork" if hasattr(os, "fork") and hasattr(socket, "AF_UNIX") else "spawn"


_PARSING = threading.Lock()
"""CPython 3.11 counts the depth of a syntax tree in one place for all threads: two at once end in a SystemError."""


_GOING_SECONDS = 0.3
"""For trials to notice that their children were killed: it takes milliseconds, on a busy machine more."""


class ChildTrials:
    """The port `Trials`. Safe to share between threads; `close` ends what still runs.

    `tagged`: tag → tools that carry it, for call_tool_resilient. `guarded`: do not seal. `start`: fork one process that
    imported everything, or spawn one a case; None: what this system has. `python`: the child's interpreter.
    `preload`: further modules that a program may find loaded (the tests of the seal give hostile programs what they want).
    """

    def __init__(
        self,
        *,
        limits: Limits = TRIAL,
        tagged: Mapping[str, Sequence[str]] | None = None,
        guarded: bool = False,
        start: Start | None = None,
        python: str = "",
        preload: Sequence[str] = (),
    ) -> None:
        self._limits = limits
        self._tagged = tagged or {}
        self._guarded = guarded
        self._start = start or own_start()
        self._python = python or default_python()
        self._loadable = frozenset(preload) | MODULES.keys()
        self._level: tuple[Level, str] | None = None
        self._living: set[Children] = set()
        self._none_lives = threading.Condition()
        self._closed = False

    def close(self) -> None:
        """End the trials that run in other threads and their children, those that compute for ever too; start no more."""
        with self._none_lives:
            self._closed = True
            for children in self._living:
                children.kill()
            self._none_lives.wait_for(lambda: not self._living, _GOING_SECONDS)

    def level(self) -> tuple[Level, str]:
        """Give the level that this machine reaches, and its detail; found out once, by an empty child.

        Raises ChildLost where no child can be started at all.
        """
        if self._level is None:
            with self._children(1, (), self._limits, (), stub=True) as children:
                self._level = _describe(children.lockdown_of(0))
        return self._level

    def run(self, code: bytes, cases: Sequence[Case], tools: Sequence[str], answer: Answerer | None = None) -> Trial:
        """Run `code` once a case, a process each, shut in before it gets the program. Blocking.

        `answer` None: stub tools. A trial that the system broke has `failed` set.
        """
        return self._run(code, cases, tools, answer, self._limits)

    def run_node(
        self,
        code: bytes,
        data: bytes,
        tools: Sequence[str],
        answer: Answerer | None = None,
        limits: Limits = REAL,
        *,
        least: Level = "guarded",
    ) -> Trial:
        """Run `code` once for real (one entry in `runs`), with real limits; else as `run`.

        Raises TooWeak where the child reaches less than `least`, before it is given the program.
        """
        return self._run(code, [Case("run", data)], tools, answer, limits, least=least)

    @contextmanager
    def _children(
        self, count: int, modules: Sequence[str], limits: Limits, tools: Sequence[str], *, stub: bool
    ) -> Iterator[Children]:
        alternatives = {tag: [name for name in names if name in tools] for tag, names in self._tagged.items()}
        extras = {"alternatives": alternatives, "pause": 0 if stub else 0.5}
        plan = Plan(count, modules, limits, not self._guarded, self._python, extras)
        children: Children = Nursery(plan) if self._start == "fork" else Spawned(plan)
        try:
            with children:
                self._count_in(children)
                yield children
        finally:
            with self._none_lives:
                self._living.discard(children)
                self._none_lives.notify_all()

    def _count_in(self, children: Children) -> None:
        with self._none_lives:
            if self._closed:
                raise ChildLost("No trial starts any more: the run is over.", "Start again.")
            self._living.add(children)

    def _run(
        self,
        code: bytes,
        cases: Sequence[Case],
        tools: Sequence[str],
        answer: Answerer | None,
        limits: Limits,
        *,
        least: Level = "guarded",
    ) -> Trial:
        with _PARSING:
            tags, imported = tags_of(code) if self._tagged else (), imports_of(code)
        tools = [*tools, *(name for tag in tags for name in self._tagged.get(tag, ()))]
        modules = sorted(imported & self._loadable)
        runs: list[Run] = []

        def session(channel: Channel, case: Case) -> _Session:
            return _Session(channel, limits, tools, _failing(answer, case.failing) if answer else _stubs(case))

        try:
            with self._children(len(cases), modules, limits, tools, stub=answer is None) as children:
                level, detail = self._serve(_Trying(children, session, code, cases, least), runs)
        except ChildLost as lost:
            return Trial("guarded", "", runs, failed=lost.message)
        return Trial(level, detail, runs)

    def _serve(self, trying: "_Trying", runs: list[Run]) -> tuple[Level, str]:
        """Run one case after the other into `runs`, the next ones already begun; give level and detail."""
        level: Level = "guarded"
        detail, cases = "", trying.cases
        sessions: list[_Session] = []
        for number, case in enumerate(cases):
            if sum(run.stopped_by in {"wall", "cpu"} for run in runs) >= MOST_STUCK:
                runs.append(replace(runs[-1], case=case.name, stdout=b"", stderr=NOT_RUN, calls=(), seconds=0.0))
                continue
            for ahead in range(len(sessions), min(number + 1 + AHEAD, len(cases))):
                found, detail = _describe(trying.children.lockdown_of(ahead))
                level = self._same_level(ahead, level, found)
                if level == "guarded" and trying.least == "isolated":
                    raise TooWeak(detail)
                sessions.append(trying.session(trying.children.channel(ahead), cases[ahead]))
                sessions[ahead].start(trying.code, cases[ahead].input)
            runs.append(_one(trying.children, number, case, sessions[number]))
        return level, detail

    def _same_level(self, number: int, before: Level, now: Level) -> Level:
        """Refuse a worker that is less shut in than this machine can."""
        expected = self._level[0] if self._level else before if number else now
        if now == "guarded" and expected == "isolated":
            raise ChildLost("A child could not be shut in as the ones before it.", "Try again.")
        return now


@dataclass(frozen=True, slots=True)
class _Trying:
    """One trial: its children, and what is done in them."""

    children: Children
    session: Callable[[Channel, Case], _Session]
    code: bytes
    cases: Sequence[Case]
    least: Level


NOT_RUN = f"not run: {MOST_STUCK} cases before it met a time limit"


def _one(children: Children, number: int, case: Case, session: _Session) -> Run:
    began = time.monotonic()
    session.run()
    progress = session.progress
    end = children.end(number, kill=bool(progress.stopped))
    stopped = progress.stopped or _why(end, session)
    stderr = progress.stderr.decode("utf-8", "replace") + (f"[{progress.note}]\n" if progress.note else "")
    return Run(
        case=case.name,
        exit_code=None if stopped else end["status"],
        stdout=bytes(progress.stdout),
        stderr=escape(stderr),
        calls=tuple(progress.calls),
        stopped_by=stopped,
        seconds=time.monotonic() - began,
    )


SIGKILL, SIGXCPU, SIGSYS = 9, 24, 31


def _why(end: Mapping[str, Any], session: _Session) -> StopReason:
    """Read from a worker's end what stopped it. Raises ChildLost where the system killed it."""
    if session.progress.out_of_memory:
        return "memory"
    status = end["status"]
    if end["hung"]:
        return "crash"  # it closed its channel and stayed
    if status >= 0:
        return ""
    cpu = end["cpu"] >= session.cpu_limit - 0.1
    if -status == SIGXCPU or (-status == SIGKILL and cpu):
        return "cpu"
    if -status == SIGKILL:
        raise ChildLost("The child was killed by the system.", "Is the machine short of memory?")
    return "policy" if -status == SIGSYS else "signal"


def _describe(report: Mapping[str, Any]) -> tuple[Level, str]:
    landlock = f"Landlock ABI {report['landlock']}" if report["landlock"] else "no Landlock"
    missing = "".join(f"; missing: {part}" for part in report["missing"])
    if report["sealed"]:
        return "isolated", f"seccomp sealed, {landlock}{missing}"
    return "guarded", f"audit hook and limits, {landlock}{missing}"
