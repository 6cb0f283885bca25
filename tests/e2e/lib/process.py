"""Processes under test: logs in a workspace, killed by their own pid, never left behind."""

import atexit
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from .wait import wait_until

_ticks = os.sysconf("SC_CLK_TCK")
_running = set()


def _kill_all():
    for process in list(_running):
        process.kill()


atexit.register(_kill_all)


_claimed_ports = []


def free_port(host="127.0.0.1"):
    """A TCP port that was free a moment ago, of those that the kernel gives to no connection of its own accord. It is
    given to no other test of this user until this one ends. Prefer port 0 where the process can tell which one it got."""
    folder = os.path.join(tempfile.gettempdir(), f"skerry-ports-{os.getuid()}")
    os.makedirs(folder, 0o700, exist_ok=True)
    for _ in range(100):
        port = random.SystemRandom().randrange(15000, 32000)
        claim = os.open(os.path.join(folder, str(port)), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.bind((host, port))
            _claimed_ports.append(claim)  # open until this process ends
            return port
        except OSError:
            os.close(claim)
    raise OSError("no free port between 15000 and 32000")


class Workspace:
    """A temporary directory with the logs and data of one test. Kept when the test fails, or when asked."""

    def __init__(self, name="skerry", keep=False, parent=None):
        self.path = tempfile.mkdtemp(prefix=name + "-", dir=parent)
        self.keep = keep

    def file(self, *parts):
        path = os.path.join(self.path, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def folder(self, *parts):
        path = os.path.join(self.path, *parts)
        os.makedirs(path, exist_ok=True)
        return path

    def write(self, name, text, mode=0o644):
        path = self.file(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        _kill_all()
        if self.keep or (kind is not None and not (kind is SystemExit and not value.code)):
            print(f"logs and data are kept in {self.path}", file=sys.stderr)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


class Process:
    """One child. `start` may be called again after it ended: same arguments, same log, appended."""

    def __init__(self, name, argv, workspace, env=None, cwd=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log = workspace.file("log", name + ".log")
        self.env = dict(os.environ, **(env or {}))
        self.cwd = cwd
        self.child = None
        self.starts = 0

    def start(self):
        assert not self.alive(), f"{self.name} runs already"
        self.starts += 1
        with open(self.log, "ab") as log:
            log.write(f"--- start {self.starts}: {' '.join(self.argv)}\n".encode())
            log.flush()
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                          cwd=self.cwd, start_new_session=True)
        _running.add(self)
        return self

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def text(self):
        """The whole log so far."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def tail(self, lines=20):
        return "\n".join(self.text().splitlines()[-lines:])

    def wait_log(self, text, deadline=10.0):
        def said():
            if not self.alive() and text not in self.text():
                raise AssertionError(f"{self.name} ended with {self.child.returncode} before it said {text!r}:\n{self.tail()}")
            return text in self.text()
        return wait_until(said, deadline, f"{self.name} to say {text!r}")

    def wait_ready(self, ready, deadline=10.0, what="ready"):
        """Waits for ready(), and fails at once when the process ends."""
        def check():
            assert self.alive(), f"{self.name} ended with {self.child.returncode}:\n{self.tail()}"
            return ready()
        return wait_until(check, deadline, f"{self.name} to be {what}")

    def signal(self, number):
        if self.alive():
            os.kill(self.child.pid, number)

    def stop(self, deadline=15.0):
        """SIGTERM, then SIGKILL at the deadline. Returns the exit code."""
        if self.child is None:
            return None
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
        _running.discard(self)
        return self.child.returncode

    def kill(self):
        """kill -9, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()
        _running.discard(self)

    def pause(self):
        """SIGSTOP; returns when every thread has stopped."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: self._stat()[0] in "Tt", 5, f"{self.name} to be stopped")

    def resume(self):
        self.signal(signal.SIGCONT)

    def run(self, deadline=60.0):
        """Runs to the end and returns (exit code, what it printed)."""
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.start()
        try:
            self.child.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end in {deadline:g} s:\n{self.tail()}") from None
        _running.discard(self)
        with open(self.log, "rb") as f:
            f.seek(before)
            said = f.read().decode("utf-8", "replace")
        return self.child.returncode, said.split("\n", 1)[1]

    def _stat(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()

    def cpu_seconds(self):
        """User and system time of all threads so far."""
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / _ticks

    def memory(self):
        """{'rss', 'anon', 'file'} in bytes."""
        out = {}
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as f:
            for line in f:
                key, _, value = line.partition(":")
                if key in ("VmRSS", "RssAnon", "RssFile"):
                    out[{"VmRSS": "rss", "RssAnon": "anon", "RssFile": "file"}[key]] = int(value.split()[0]) * 1024
        return out


class MemorySampler(threading.Thread):
    """Memory of processes {name: Process} every so often, until asked for what was seen."""

    def __init__(self, processes, every=1.0):
        super().__init__(daemon=True)
        self.processes = processes
        self.every = every
        self.seen = {name: [] for name in processes}
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(self.every):
            for name, process in self.processes.items():
                try:
                    self.seen[name].append(process.memory())
                except OSError:
                    pass

    def stop(self):
        """{name: [what Process.memory() said]}"""
        self.ended.set()
        self.join()
        return self.seen

    def means(self):
        return {name: {key: sum(m[key] for m in all_) / len(all_) for key in all_[0]} if all_ else {}
                for name, all_ in self.stop().items()}


def run_command(argv, deadline=30.0, code=0, stdin=None):
    """Runs a command that ends by itself and returns its standard output. `code`: the exit code to expect."""
    ran = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=deadline, input=stdin)
    assert ran.returncode == code, (f"{' '.join(map(str, argv))} ended with {ran.returncode}, not {code}:\n"
                                    f"{ran.stdout}{ran.stderr}")
    return ran.stdout


def disk_bytes(path):
    """What the files below take on disk: allocated blocks, so that sparse files count for what they hold."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def sleep_until(moment):
    """Sleeps until time.monotonic() reaches `moment`: for measured windows, not for waiting on things."""
    time.sleep(max(0.0, moment - time.monotonic()))
