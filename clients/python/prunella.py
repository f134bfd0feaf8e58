"""Prunella's client for agents in Python: one file, no dependencies, Python 3.8 or newer.

    from prunella import run

    def handle(task):
        text = task.step("greet", lambda call: "Hello, " + task.input["name"])
        return {"greeting": text}

    run(handle)

Started by Prunella with its channel on file descriptor 3 (docs/protocol.md). Handlers
run on threads, at most `concurrency` at once; a helper thread pulses, so that a handler
may block. Python cannot stop a function that blocks: when an attempt is taken back, the
task's next call raises StaleFenceError, and `task.cancelled` (an Event) is set.
"""

import hashlib
import json
import os
import platform
import re
import sys
import threading
import time
import traceback

PROTOCOL = 1
FRAME_BYTES = 1024 * 1024
PAYLOAD_BYTES = 512 * 1024
ERROR_LENGTH = 4000
NOTE_LENGTH = 500
LOG_LENGTH = 16 * 1024
LOG_LINES_PER_SECOND = 1000
# A frame is one of the 64 levels around its payload.
DEPTH = 63
STEPS_PER_TASK = 10000
OPEN_CALLS = 256
CLOSING_SECONDS = 0.5
CHANNEL_FD = 3
NUDGES_KEPT = 20
PRINT_HASHED_BYTES = 64 * 1024
PRINT_COUNTED_BYTES = 256 * 1024
CAUSES = 16
USD_PER_CALL = 1000000
MODEL_FAILURES = (
    "context_overflow", "rate_limited", "quota_exhausted", "overloaded", "unavailable", "auth", "garbled", "bad_request"
)
VALID_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
RESERVED_NAMES = ("__proto__", "constructor", "prototype", ".", "..")
REPEAT = ("safe_to_retry", "check_first", "ask_human")


class PrunellaError(Exception):
    """An error with a stable code; match `code`, never the text."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class StaleFenceError(PrunellaError):
    """The attempt is over: somebody else has the task. Let it out of the handler."""

    def __init__(self, text):
        super().__init__("PRUNELLA_STALE_FENCE", text)


class BudgetExceededError(PrunellaError):
    """The task has used up its budget: no model call, step or tool begins any more. Let it out of the handler."""

    def __init__(self, task_id):
        text = "Task %s has used up its budget. Stop; its steps are kept, and a person decides whether it goes on."
        super().__init__("PRUNELLA_BUDGET_EXCEEDED", text % task_id)


class DependencyError(PrunellaError):
    """Something that the agent depends on failed, not the agent: the failure counts against that dependency."""

    def __init__(self, dependency, message):
        super().__init__("PRUNELLA_DEPENDENCY", message)
        _check_dependency("A DependencyError", dependency)
        self.dependency = dependency


class Call:
    """What the function of a step or tool gets."""

    def __init__(self, task, idempotency_key):
        self.idempotency_key = idempotency_key
        self.cancelled = task.cancelled


class Waiting:
    """A declared wait. Ends with `end()`, its `with` block, or the next thing the task says."""

    def __init__(self, end):
        self.end = end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Task:
    """One attempt of one unit of work. Its methods may be called from any thread."""

    def __init__(self, agent, frame, journal):
        self.id = frame["task"]
        self.fence = frame["fence"]
        self.attempt = frame["attempt"]
        self.input = frame["input"]
        self.deadline_ms = frame["deadlineMs"]
        self.previous = None if frame["previous"] is None else dict({"doNot": []}, **frame["previous"])
        self.idempotency_key = self.id
        self.cancelled = threading.Event()
        self._agent = agent
        self._lock = threading.RLock()
        self._over = None
        self._calls = 0
        self._wait = None
        self._nudges = []
        self._compacting = False
        self._left = dict(frame.get("left") or {})
        self._counts = {}
        self._acks = {}
        self._places = threading.BoundedSemaphore(OPEN_CALLS)
        self._known = {}
        for step in journal:
            state = "done" if step["state"] == "done" else "started"
            self._known[(step["name"], step["key"])] = (state, step.get("result"))

    def step(self, name, fn, key=None, repeat="safe_to_retry", check=None, timeout=None, dependency=None):
        """Runs `fn(call)` once for this task; returns when its result is durable, in a later attempt from the journal.

        `timeout` in seconds: beyond it the attempt counts as stalled. `dependency`: which configured dependency the call
        uses; its failure then counts against the dependency, not the agent. Errors: PRUNELLA_INVALID, PRUNELLA_TOO_LARGE,
        PRUNELLA_STALE_FENCE, PRUNELLA_LEASE_EXPIRED.
        """
        _check_call("step", name, key, repeat, check, timeout, dependency)
        if key is None:
            key = str(self._count((name, None)))
        return self._journaled("step", name, key, fn, repeat, check, timeout, _spoken(dependency=dependency))

    def tool(self, name, args, fn, key=None, repeat=None, check=None, timeout=None, poll=False, dependency=None):
        """Runs a tool call where Prunella sees it; journaled like a step only with `key` or `repeat`."""
        _check_call("tool", name, key, repeat or "safe_to_retry", check, timeout, dependency)
        text = _dump(args, 'The arguments of tool "%s"' % name, sort_keys=True)
        digest = _hash(text.encode("utf-8"))
        seen = {"hash": digest, "length": len(text), "text": text[:NOTE_LENGTH]}
        more = _spoken(args=seen, poll=True if poll else None, dependency=dependency)
        if key is None and repeat is None:
            effect = "%s-%d" % (digest, self._count((name, digest)))
            return self._perform("tool", name, None, effect, fn, "safe_to_retry", timeout, more)
        return self._journaled("tool", name, key or digest, fn, repeat or "safe_to_retry", check, timeout, more)

    def progress(self, note):
        """Says that the task is getting somewhere, in words for people."""
        with self._lock:
            self._alive()
            self._end_wait()
            self._send("progress", note=str(note)[:NOTE_LENGTH])

    def model(self, text=None, usd=None, failure=None, **said):
        """Says that a model call has ended, for agents that do not call the model through Prunella.

        Everything may be left out: provider, model, prompt_tokens, completion_tokens, window_tokens, tool_calls (how many
        the answer asks for), usd, text (the answer: only its hash leaves this process), failure (see MODEL_FAILURES).
        Raises BudgetExceededError when the budget was used up before this call; so do step, tool and waiting from then on.
        """
        fields = _model_call(text, usd, failure, said)
        with self._lock:
            self._alive()
            self._end_wait()
            self._send("model_called", **fields)
            was_used_up = self._is_used_up()
            cost = {
                "tokens": fields.get("promptTokens", 0) + fields.get("completionTokens", 0),
                "usd": fields.get("usd", 0),
                "calls": 0 if "failure" in fields else 1,
            }
            self._left = {unit: left - cost.get(unit, 0) for unit, left in self._left.items()}
            if was_used_up:
                raise BudgetExceededError(self.id)

    def budget(self):
        """What the task may still spend, to be looked at before a call: tokens, usd, calls. What has no limit is left out."""
        with self._lock:
            return dict(self._left)

    def heard(self):
        """Says that a real person spoke inside a long conversation: what was repeated before counts for no loop."""
        with self._lock:
            self._alive()
            self._end_wait()
            self._send("user_turn")

    def nudges(self):
        """Hints from Prunella since the last call, oldest first; of more than 20 the newest."""
        with self._lock:
            nudges, self._nudges = self._nudges, []
            return nudges

    def waiting(self, what, seconds, blocking=False, dependency=None):
        """Declares that nothing will happen for up to `seconds`, outside of steps and tools."""
        _check_call("wait", what, None, "safe_to_retry", None, seconds, dependency)
        more = _spoken(dependency=dependency)
        with self._lock:
            self._alive()
            self._check_budget()
            self._end_wait()
            call = self._wait = self._next_call()
            self._send("call_started", call=call, kind="wait", name=what, timeoutMs=seconds * 1000, blocking=blocking, **more)

        def end():
            with self._lock:
                if self._wait == call and self._over is None:
                    self._end_wait()

        return Waiting(end)

    def log(self, message, level="info"):
        """A line in the replica's log."""
        self._agent.log(message, level, self.id)

    def _journaled(self, kind, name, key, fn, repeat, check, timeout, about):
        with self._lock:
            self._alive()
            state, result = self._known.get((name, key), (None, None))
            if state == "done":
                return result
            if state == "open":
                raise PrunellaError("PRUNELLA_INVALID", 'Step "%s" with key "%s" is running already. Give it another key.' % (name, key))
            if state == "failed" and repeat == "ask_human":
                raise PrunellaError("PRUNELLA_INVALID", 'Step "%s" failed after it had started, and says ask_human. Let the handler fail.' % name)
            if len(self._known) >= STEPS_PER_TASK:
                raise PrunellaError("PRUNELLA_TOO_LARGE", "Task %s has journaled %d steps, the limit." % (self.id, STEPS_PER_TASK))
            self._known[(name, key)] = ("open", None)

        def guarded(call):
            if state is not None and repeat == "check_first":
                found = check(call.idempotency_key)
                if found is not None:
                    return found
                self._alive()
            return fn(call)

        try:
            result = self._perform(kind, name, key, key, guarded, repeat, timeout, about)
        except BaseException:
            with self._lock:
                self._known[(name, key)] = ("failed" if repeat != "safe_to_retry" else None, None)
            raise
        with self._lock:
            self._known[(name, key)] = ("done", result)
        return result

    def _perform(self, kind, name, key, effect, fn, repeat, timeout, about):
        with self._places:
            with self._lock:
                self._alive()
                self._check_budget()
                self._agent.check_lease(self.id)
                self._end_wait()
                call = self._next_call()
                more = dict(about) if key is None else dict(about, key=key, repeat=repeat)
                if timeout is not None:
                    more["timeoutMs"] = timeout * 1000
                ack = self._expect(call) if key is not None and repeat != "safe_to_retry" else None
                self._send("call_started", call=call, kind=kind, name=name, **more)
            try:
                self._await(ack)
                try:
                    result = fn(Call(self, "%s:%s:%s" % (self.id, name, effect)))
                except Exception as error:
                    _blame(error, about.get("dependency"))
                    raise
                ended, ack = {}, None
                if key is not None:
                    text = _payload(result, 'The result of %s "%s"' % (kind, name))
                    result = json.loads(text)
                    ended = {"result": result}
                if kind == "tool":
                    ended.update(_spoken(print=_print(result)))
                with self._lock:
                    self._alive()
                    if key is not None:
                        ack = self._expect(call)
                    self._send("call_ended", call=call, ok=True, **ended)
                self._await(ack)
                return result
            except BaseException as error:
                info = _error(error)
                more = _spoken(print=_print({"name": info["name"], "message": info["message"]}) if kind == "tool" else None)
                with self._lock:
                    if self._over is None:
                        self._send("call_ended", call=call, ok=False, error=info, **more)
                raise
            finally:
                with self._lock:
                    self._acks.pop(call, None)

    def _expect(self, call):
        self._acks[call] = threading.Event()
        return self._acks[call]

    def _await(self, ack):
        if ack is not None:
            ack.wait()
        self._alive()

    def _acknowledge(self, call, accepted):
        with self._lock:
            if not accepted:
                return self._end(StaleFenceError("Task %s moved on. Drop the result." % self.id))
            if call in self._acks:
                self._acks[call].set()

    def _nudge(self, text):
        with self._lock:
            self._nudges = (self._nudges + [text])[-NUDGES_KEPT:]

    def _compact(self, compact):
        """Says how it ended, unless the attempt is over by then."""
        with self._places:  # A reset waits for it, as for every function of the task.
            try:
                if compact is None:
                    raise _NotSupported("This agent cannot compact its context: run() got no compact.")
                tokens = compact(self)
                is_size = isinstance(tokens, (int, float)) and not isinstance(tokens, bool) and 0 <= tokens < 2 ** 53
                answer = dict({"frame_type": "compacted"}, **_spoken(tokens=round(tokens) if is_size else None))
            except BaseException as error:
                answer = {"frame_type": "compact_failed", "error": _error(error)}
            with self._lock:
                self._compacting = False
                if self._over is None:
                    self._send(**answer)

    def _end(self, error):
        with self._lock:
            if self._over is not None:
                return
            self._over = error
            self.cancelled.set()
            for ack in self._acks.values():
                ack.set()

    def _alive(self):
        if self._over is not None:
            raise self._over

    def _is_used_up(self):
        return any(left <= 0 for left in self._left.values())

    def _check_budget(self):
        if self._is_used_up():
            raise BudgetExceededError(self.id)

    def _end_wait(self):
        if self._wait is not None:
            self._send("call_ended", call=self._wait, ok=True)
            self._wait = None

    def _next_call(self):
        self._calls += 1
        return self._calls

    def _count(self, what):
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1
            return self._counts[what]

    def _send(self, frame_type, **fields):
        self._agent.send(dict({"type": frame_type, "task": self.id, "fence": self.fence}, **fields))


class _Agent:
    def __init__(self, handler, setup, reset, checks, compact):
        self._handler, self._setup, self._reset, self._checks = handler, setup, reset, dict(checks or {})
        self._compact = compact
        self._writing = threading.Lock()
        self._state = threading.Condition()
        self._queue = []
        self._journals = {}
        self._running = {}
        self._resets = set()
        self._busy_checks = set()
        self._lease_until = 0.0
        self._log_window = [0.0, 0]
        self._ready = False
        self.replica = None

    def serve(self):
        sys.stdout.reconfigure(line_buffering=True)  # What a handler prints is in the log when it is printed.
        os.set_inheritable(CHANNEL_FD, False)  # A tool's own process must not keep the channel open.
        self.send({"type": "hello", "protocol": PROTOCOL, "client": "prunella-python/" + platform.python_version()})
        with os.fdopen(CHANNEL_FD, "rb", closefd=False) as channel:
            while True:
                line = channel.readline(FRAME_BYTES + 1)
                if not line.endswith(b"\n"):
                    break  # The supervisor is gone.
                self._receive(json.loads(line.decode("utf-8")))
        with self._state:
            tasks = list(self._running.values())
        for task in tasks:
            task._end(PrunellaError("PRUNELLA_ABORTED", "The supervisor is gone. Stop; the task will be given out again."))
        with self._state:
            self._state.wait_for(lambda: not self._running, CLOSING_SECONDS)
        _exit(0)

    def send(self, frame):
        data = (json.dumps(frame, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "replace")
        if len(data) > FRAME_BYTES:
            raise PrunellaError("PRUNELLA_TOO_LARGE", 'A "%s" frame of %d bytes is above %d.' % (frame["type"], len(data), FRAME_BYTES))
        with self._writing:
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(CHANNEL_FD, view):]
                except BlockingIOError:
                    time.sleep(0.001)
                except OSError:
                    return  # The supervisor is gone: the reader sees it too, and ends the process.

    def log(self, message, level="info", task=None):
        now = time.monotonic()
        with self._state:
            if now - self._log_window[0] >= 1:
                self._log_window = [now, 0]
            self._log_window[1] += 1
            if self._log_window[1] > LOG_LINES_PER_SECOND:
                return
        more = {} if task is None else {"task": task}
        self.send(dict({"type": "log", "level": level, "message": str(message)[:LOG_LENGTH]}, **more))

    def check_lease(self, task):
        if time.monotonic() > self._lease_until:
            raise PrunellaError("PRUNELLA_LEASE_EXPIRED", "Task %s: the supervisor has been silent for longer than the lease." % task)

    def _receive(self, frame):
        self._lease_until = time.monotonic() + frame["leaseMs"] / 1000.0
        act = getattr(self, "_on_" + str(frame["type"]), None)
        if act is not None:  # A newer supervisor may say more.
            act(frame)

    def _on_adopt(self, frame):
        if frame["protocol"] != PROTOCOL:
            os.write(2, b"prunella.py speaks protocol %d, the supervisor %d: use the client that came with it.\n" % (PROTOCOL, frame["protocol"]))
            _exit(1)
        self.replica = {"name": frame["replica"], "pool": frame["pool"], "incarnation": frame["incarnation"]}
        for _ in range(frame["concurrency"]):
            _start(self._work)
        _start(self._pulse, frame["pulseMs"] / 1000.0)
        _start(self._set_up)

    def _set_up(self):
        try:
            if self._setup is not None:
                self._setup()
        except BaseException as error:
            self.send({"type": "setup_failed", "error": _error(error)})
            _exit(1)
        self.send({"type": "ready", "checks": list(self._checks), "resettable": True, "compactable": self._compact is not None})
        with self._state:
            self._ready = True
            self._state.notify_all()

    def _pulse(self, every):
        while True:
            started = time.monotonic()
            time.sleep(every)
            lag = max(0.0, time.monotonic() - started - every)
            self.send({"type": "pulse", "lagMs": round(lag * 1000)})
            if time.monotonic() > self._lease_until:
                self._expire()

    def _expire(self):
        with self._state:
            queued, self._queue = self._queue, []
            running = [task for task in self._running.values() if task._over is None]
        for name in [(frame["task"], frame["fence"]) for frame in queued] + [(task.id, task.fence) for task in running]:
            self._journals.pop(name, None)
            self.send({"type": "lease_expired", "task": name[0], "fence": name[1]})
        for task in running:
            task._end(PrunellaError("PRUNELLA_LEASE_EXPIRED", "The supervisor has been silent for longer than the lease."))

    def _on_journal(self, frame):
        self._journals.setdefault(_name(frame), []).extend(frame["steps"])

    def _on_task(self, frame):
        with self._state:
            self._queue.append(frame)
            self._state.notify()

    def _on_ack(self, frame):
        task = self._running.get(_name(frame))
        if task is not None:
            task._acknowledge(frame["call"], frame["accepted"])

    def _on_reset(self, frame):
        name = _name(frame)
        with self._state:
            task = self._running.get(name)
            if task is None:
                self._queue = [waiting for waiting in self._queue if _name(waiting) != name]
                self._journals.pop(name, None)
            else:
                self._resets.add(name)
        if task is None:
            return self.send({"type": "reset_ok", "task": name[0], "fence": name[1]})
        task._end(StaleFenceError("Task %s was taken back from this replica: %s. Stop working on it." % (task.id, frame["reason"])))

    def _on_nudge(self, frame):
        task = self._running.get(_name(frame))
        if task is not None:
            task._nudge(frame["text"])

    def _on_compact(self, frame):
        name = _name(frame)
        task = self._running.get(name)
        if task is None:
            error = {"name": "NotRunning", "message": "Task %s with fence %d is not running here." % name}
            return self.send({"type": "compact_failed", "task": name[0], "fence": name[1], "error": error})
        with task._lock:
            if task._over is not None or task._compacting:
                return  # Its answer is on the way.
            task._compacting = True
        _start(task._compact, self._compact)

    def _on_ping(self, frame):
        self.send({"type": "pong", "ping": frame["ping"]})

    def _on_check(self, frame):
        _start(self._check, frame)

    def _check(self, frame):
        results = {name: {"ok": False, "reason": "no answer within %d ms" % frame["timeoutMs"]} for name in self._checks}

        def look(name, check):
            try:
                results[name] = {"ok": False, "reason": "the check gave False"} if check() is False else {"ok": True}
            except BaseException as error:
                results[name] = {"ok": False, "reason": str(error)[:NOTE_LENGTH]}
            self._busy_checks.discard(name)

        threads = []
        for name, check in self._checks.items():
            if name in self._busy_checks:
                results[name] = {"ok": False, "reason": "the check before this one has not ended"}
                continue
            self._busy_checks.add(name)
            threads.append(_start(look, name, check))
        until = time.monotonic() + frame["timeoutMs"] / 1000.0
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.send({"type": "checked", "probe": frame["probe"], "results": dict(results)})

    def _work(self):
        while True:
            with self._state:
                self._state.wait_for(lambda: self._ready and self._queue)
                frame = self._queue.pop(0)
                name = _name(frame)
                task = self._running[name] = Task(self, frame, self._journals.pop(name, []))
            self._run(task, name)

    def _run(self, task, name):
        last = None
        try:
            self.send({"type": "started", "task": task.id, "fence": task.fence})
            output = json.loads(_payload(self._handler(task), "The output of task %s" % task.id))
            last = {"type": "done", "task": task.id, "fence": task.fence, "output": output}
        except BaseException as error:
            last = {"type": "failed", "task": task.id, "fence": task.fence, "error": _error(error)}
        with task._lock:
            if task._over is None:
                self.send(last)
            task._end(StaleFenceError("Task %s is over." % task.id))
        with self._state:
            was_reset = name in self._resets
            if not was_reset:
                del self._running[name]
                self._state.notify_all()
        if was_reset:
            self._forget(task, name)

    def _forget(self, task, name):
        for _ in range(OPEN_CALLS):
            task._places.acquire()  # The last one is free when every function it opened, on any thread, has returned.
        answer = {"type": "reset_ok", "task": task.id, "fence": task.fence}
        try:
            if self._reset is not None:
                self._reset(task)
        except BaseException as error:
            answer.update(type="reset_failed", error=_error(error))
        with self._state:
            self._resets.discard(name)
            del self._running[name]
            self._state.notify_all()
        self.send(answer)


def run(handler, setup=None, reset=None, checks=None, compact=None):
    """Serves tasks until Prunella ends.

    `handler(task)` returns the output; `setup()` runs once before the first task; `reset(task)` forgets what a task
    left behind that was taken back; `checks` maps names to functions: one that raises or returns False has failed.
    `compact(task)` makes the context of a running task smaller, on a thread of its own while the handler goes on, and
    returns its new size in tokens, if known; never twice at once for one task.
    """
    _Agent(handler, setup, reset, checks, compact).serve()


class _NotSupported(Exception):
    pass


_NotSupported.__name__ = "NotSupported"  # As it is called on the channel.


def _exit(code):
    """Handlers that block would keep the process alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _start(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def _name(frame):
    return (frame["task"], frame["fence"])


def _error(error):
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    info = {"name": type(error).__name__, "message": str(error)[:ERROR_LENGTH], "stack": text[-ERROR_LENGTH:]}
    code = getattr(error, "code", None)
    if isinstance(code, str):
        info["code"] = code[:ERROR_LENGTH]
    info.update(_spoken(dependency=_dependency_of(error)))
    return info


def _blame(error, dependency):
    """Remembers that it was raised inside a call with this dependency. The innermost call's word stands."""
    refusal = isinstance(error, PrunellaError) and not isinstance(error, DependencyError)
    if dependency is not None and not refusal and _dependency_of(error) is None:
        error._prunella_dependency = dependency


def _dependency_of(error):
    """Its own, that of the call it left, or that of its nearest cause."""
    for _ in range(CAUSES):
        if error is None:
            return None
        found = error.dependency if isinstance(error, DependencyError) else getattr(error, "_prunella_dependency", None)
        if found is not None:
            return found
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _spoken(**fields):
    """What is None goes without saying."""
    return {name: value for name, value in fields.items() if value is not None}


def _hash(data):
    return hashlib.sha256(data).hexdigest()[:32]


def _print(value):
    """What the loop detectors compare results by: the algorithm of src/model/print.ts. None where JSON cannot tell."""
    writer = _CanonicalWriter()
    try:
        if not writer.write(value, 0):
            return None
    except Exception:
        return None  # A method of the handler's own type raised. The result is the handler's all the same.
    text = "".join(writer.parts)
    data = text.encode("utf-8")
    length = min(len(data), PRINT_COUNTED_BYTES)
    head = data[:PRINT_HASHED_BYTES]
    return {
        "hash": _hash(head + b":%d" % length if len(data) > len(head) else head),
        "folded": _hash(re.sub(rb"[0-9]+", b"#", head)),
        "length": 0 if text in ("null", '""', "[]", "{}") else length,
    }


class _CanonicalWriter:
    """JSON as in RFC 8785, until it is full; what comes then is not even looked at."""

    def __init__(self):
        self.parts = []
        self._length = 0

    def write(self, value, depth):
        if value is None or value is True or value is False:
            self._add({None: "null", True: "true", False: "false"}[value])
        elif isinstance(value, str):
            self._add(_canonical_text(value[:PRINT_COUNTED_BYTES]))
        elif isinstance(value, int):
            self._add(str(int(value)))
        elif isinstance(value, float):
            self._add(_canonical_number(value))
        elif depth >= DEPTH + 1:
            return False
        elif isinstance(value, dict):
            return self._write_fields(value, depth + 1)
        elif isinstance(value, (list, tuple)):
            return self._write_list(value, depth + 1)
        elif isinstance(value, (bytes, bytearray)):
            first = bytes(value[:PRINT_HASHED_BYTES]).decode("latin-1")
            return self.write([len(value), first] if value else "", depth)
        else:
            return False
        return True

    def _add(self, text):
        self.parts.append(text)
        self._length += len(text)

    def _is_full(self):
        return self._length >= PRINT_COUNTED_BYTES

    def _write_list(self, items, depth):
        self._add("[")
        for at, item in enumerate(items):
            if self._is_full():
                return True
            if at > 0:
                self._add(",")
            if not self.write(item, depth):
                return False
        self._add("]")
        return True

    def _write_fields(self, fields, depth):
        if not all(isinstance(key, str) for key in fields):
            return False
        self._add("{")
        for at, key in enumerate(sorted(fields, key=lambda key: key.encode("utf-16-be", "surrogatepass"))):
            if self._is_full():
                return True
            self._add(("," if at > 0 else "") + _canonical_text(key) + ":")
            if not self.write(fields[key], depth):
                return False
        self._add("}")
        return True


def _canonical_text(text):
    return re.sub("[\ud800-\udfff]", lambda half: "\\u%04x" % ord(half.group()), json.dumps(text, ensure_ascii=False))


def _canonical_number(number):
    """As ECMAScript writes it: the same shortest digits as Python's, with other rules for the exponent."""
    if number != number or number in (float("inf"), float("-inf")):
        return "null"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The number is 0.digits times ten to the power of `point`.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = point - 1
    tail = "." + digits[1:] if len(digits) > 1 else ""
    return "%s%s%se%s%d" % (sign, digits[0], tail, "+" if power > 0 else "", power)


def _model_call(text, usd, failure, said):
    fields = {}
    for name, value in said.items():
        parts = name.split("_")
        wire = parts[0] + "".join(part.capitalize() for part in parts[1:])
        if value is None:
            continue
        if name in ("provider", "model"):
            fields[wire] = str(value)[:NOTE_LENGTH]
        elif name not in ("prompt_tokens", "completion_tokens", "window_tokens", "tool_calls"):
            raise PrunellaError("PRUNELLA_INVALID", "A model call has no %s." % name)
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2 ** 53:
            raise PrunellaError("PRUNELLA_INVALID", "A model call's %s must be a whole number, 0 or more, got %r." % (name, value))
        else:
            fields[wire] = value
    if usd is not None and not (isinstance(usd, (int, float)) and 0 <= usd <= USD_PER_CALL):
        raise PrunellaError("PRUNELLA_INVALID", "A model call's usd must be a number from 0 to %d, got %r." % (USD_PER_CALL, usd))
    if failure is not None and failure not in MODEL_FAILURES:
        raise PrunellaError("PRUNELLA_INVALID", "A model call's failure must be one of %s, got %r." % (", ".join(MODEL_FAILURES), failure))
    if text is not None and not isinstance(text, str):
        raise PrunellaError("PRUNELLA_INVALID", "A model call's text must be a text, got %r." % type(text).__name__)
    if text is not None:
        seen = _print(text)
        fields.update(textHash=seen["hash"], textLength=seen["length"])
    return dict(fields, **_spoken(usd=usd, failure=failure))


def _dump(value, owner, sort_keys=False):
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=sort_keys, separators=(",", ":"))
        text.encode("utf-8")
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise PrunellaError("PRUNELLA_INVALID", "%s cannot be written as JSON: %s. Use plain data." % (owner, error))


def _payload(value, owner):
    text = _dump(value, owner)
    size = len(text.encode("utf-8"))
    if size > PAYLOAD_BYTES:
        raise PrunellaError("PRUNELLA_TOO_LARGE", "%s has %d bytes; the limit is %d. Store it elsewhere and return its name." % (owner, size, PAYLOAD_BYTES))
    if len(text) > 2 * DEPTH and _depth(value) > DEPTH:
        raise PrunellaError("PRUNELLA_INVALID", "%s nests deeper than %d levels. Make it flatter." % (owner, DEPTH))
    return text


def _depth(value):
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        item, depth = open_values.pop()
        if isinstance(item, (dict, list, tuple)):
            deepest = max(deepest, depth)
            open_values.extend((inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item))
    return deepest


def _check_call(kind, name, key, repeat, check, timeout, dependency):
    problem = None
    if not isinstance(name, str) or not 0 < len(name) <= NOTE_LENGTH:
        problem = "needs a name of 1 to %d characters" % NOTE_LENGTH
    elif key is not None and (not isinstance(key, str) or not 0 < len(key) <= NOTE_LENGTH):
        problem = "needs a key of 1 to %d characters" % NOTE_LENGTH
    elif repeat not in REPEAT:
        problem = "has repeat %r; it must be one of %s" % (repeat, ", ".join(REPEAT))
    elif repeat == "check_first" and not callable(check):
        problem = "says check_first and has no check(idempotency_key)"
    elif timeout is not None and not (isinstance(timeout, (int, float)) and 0 < timeout <= 1e9):
        problem = "needs a time in seconds above 0, got %r" % (timeout,)
    owner = '%s "%s"' % (kind.capitalize(), str(name)[:80])
    if problem is not None:
        raise PrunellaError("PRUNELLA_INVALID", "%s %s." % (owner, problem))
    if dependency is not None:
        _check_dependency(owner, dependency)


def _check_dependency(owner, name):
    if not isinstance(name, str) or VALID_NAME.fullmatch(name) is None or name in RESERVED_NAMES:
        raise PrunellaError("PRUNELLA_INVALID", "%s needs a dependency's name (A-Z a-z 0-9 . _ -), got %.80r." % (owner, name))
