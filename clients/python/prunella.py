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
        self.previous = frame["previous"]
        self.idempotency_key = self.id
        self.cancelled = threading.Event()
        self._agent = agent
        self._lock = threading.RLock()
        self._over = None
        self._calls = 0
        self._wait = None
        self._counts = {}
        self._acks = {}
        self._places = threading.BoundedSemaphore(OPEN_CALLS)
        self._known = {}
        for step in journal:
            state = "done" if step["state"] == "done" else "started"
            self._known[(step["name"], step["key"])] = (state, step.get("result"))

    def step(self, name, fn, key=None, repeat="safe_to_retry", check=None, timeout=None):
        """Runs `fn(call)` once for this task; returns when its result is durable, in a later attempt from the journal.

        `timeout` in seconds: beyond it the attempt counts as stalled. Errors: PRUNELLA_INVALID, PRUNELLA_TOO_LARGE,
        PRUNELLA_STALE_FENCE, PRUNELLA_LEASE_EXPIRED.
        """
        _check_call("step", name, key, repeat, check, timeout)
        if key is None:
            key = str(self._count((name, None)))
        return self._journaled("step", name, key, fn, repeat, check, timeout, None, False)

    def tool(self, name, args, fn, key=None, repeat=None, check=None, timeout=None, poll=False):
        """Runs a tool call where Prunella sees it; journaled like a step only with `key` or `repeat`."""
        _check_call("tool", name, key, repeat or "safe_to_retry", check, timeout)
        text = _dump(args, 'The arguments of tool "%s"' % name, sort_keys=True)
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
        seen = {"hash": digest, "length": len(text), "text": text[:NOTE_LENGTH]}
        if key is None and repeat is None:
            effect = "%s-%d" % (digest, self._count((name, digest)))
            return self._perform("tool", name, None, effect, fn, "safe_to_retry", timeout, seen, poll)
        return self._journaled("tool", name, key or digest, fn, repeat or "safe_to_retry", check, timeout, seen, poll)

    def progress(self, note):
        """Says that the task is getting somewhere, in words for people."""
        with self._lock:
            self._alive()
            self._end_wait()
            self._send("progress", note=str(note)[:NOTE_LENGTH])

    def waiting(self, what, seconds, blocking=False):
        """Declares that nothing will happen for up to `seconds`, outside of steps and tools."""
        _check_call("wait", what, None, "safe_to_retry", None, seconds)
        with self._lock:
            self._alive()
            self._end_wait()
            call = self._wait = self._next_call()
            self._send("call_started", call=call, kind="wait", name=what, timeoutMs=seconds * 1000, blocking=blocking)

        def end():
            with self._lock:
                if self._wait == call and self._over is None:
                    self._end_wait()

        return Waiting(end)

    def log(self, message, level="info"):
        """A line in the replica's log."""
        self._agent.log(message, level, self.id)

    def _journaled(self, kind, name, key, fn, repeat, check, timeout, args, poll):
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
            result = self._perform(kind, name, key, key, guarded, repeat, timeout, args, poll)
        except BaseException:
            with self._lock:
                self._known[(name, key)] = ("failed" if repeat != "safe_to_retry" else None, None)
            raise
        with self._lock:
            self._known[(name, key)] = ("done", result)
        return result

    def _perform(self, kind, name, key, effect, fn, repeat, timeout, args, poll):
        with self._places:
            with self._lock:
                self._alive()
                self._agent.check_lease(self.id)
                self._end_wait()
                call = self._next_call()
                more = {} if key is None else {"key": key, "repeat": repeat}
                if timeout is not None:
                    more["timeoutMs"] = timeout * 1000
                if args is not None:
                    more["args"] = args
                if poll:
                    more["poll"] = True
                ack = self._expect(call) if key is not None and repeat != "safe_to_retry" else None
                self._send("call_started", call=call, kind=kind, name=name, **more)
            try:
                self._await(ack)
                result = fn(Call(self, "%s:%s:%s" % (self.id, name, effect)))
                ended, ack = {}, None
                if key is not None:
                    text = _payload(result, 'The result of %s "%s"' % (kind, name))
                    result = json.loads(text)
                    ended = {"result": result}
                with self._lock:
                    self._alive()
                    if key is not None:
                        ack = self._expect(call)
                    self._send("call_ended", call=call, ok=True, **ended)
                self._await(ack)
                return result
            except BaseException as error:
                with self._lock:
                    if self._over is None:
                        self._send("call_ended", call=call, ok=False, error=_error(error))
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
    def __init__(self, handler, setup, reset, checks):
        self._handler, self._setup, self._reset, self._checks = handler, setup, reset, dict(checks or {})
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
        self.send({"type": "ready", "checks": list(self._checks), "resettable": True})
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


def run(handler, setup=None, reset=None, checks=None):
    """Serves tasks until Prunella ends.

    `handler(task)` returns the output; `setup()` runs once before the first task; `reset(task)` forgets what a task
    left behind that was taken back; `checks` maps names to functions: one that raises or returns False has failed.
    """
    _Agent(handler, setup, reset, checks).serve()


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
    return info


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


def _check_call(kind, name, key, repeat, check, timeout):
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
    if problem is not None:
        raise PrunellaError("PRUNELLA_INVALID", '%s "%s" %s.' % (kind.capitalize(), str(name)[:80], problem))
