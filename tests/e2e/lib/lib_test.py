#!/usr/bin/env python3
"""Tests of the helpers: run me. The relay and the processes must do what the end-to-end tests trust them to do."""

import os
import socket
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

LIB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LIB)
from lib import Process, Relay, Timeout, Workspace, free_port, seeded, wait_until  # noqa: E402


class Echo:
    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass
        connection.close()

    def __exit__(self, *_):
        self.socket.close()


def connect(relay):
    return socket.create_connection(("127.0.0.1", relay.port), timeout=5)


def receive(s, count):
    out = b""
    while len(out) < count:
        data = s.recv(65536)
        if not data:
            raise ConnectionResetError("closed")
        out += data
    return out


class PortTest(unittest.TestCase):
    def test_a_port_is_given_once_while_its_test_runs(self):
        with mock.patch("random.SystemRandom.randrange", side_effect=[31000, 31000, 31001]):
            ask = f"import sys; sys.path.insert(0, {LIB!r}); from lib import free_port; print(free_port())"
            mine = free_port()
            with mock.patch("random.SystemRandom.randrange", side_effect=[mine, 31002]):
                self.assertEqual(free_port(), 31002)
            # Nor to another process, though nobody listens there.
            other = subprocess.run([sys.executable, "-c", f"import random; n = iter([{mine}, 31003]); "
                                    f"random.SystemRandom.randrange = lambda *_: next(n); {ask}"],
                                   capture_output=True, text=True, check=True)
            self.assertEqual(int(other.stdout), 31003)


class RelayTest(unittest.TestCase):
    def test_counts_what_passes(self):
        with Echo() as echo, Relay(echo.address) as relay, connect(relay) as s:
            s.sendall(b"x" * 300000)
            self.assertEqual(receive(s, 300000), b"x" * 300000)
            wait_until(lambda: relay.counts()["down"] == 300000)
            self.assertEqual(relay.counts()["up"], 300000)
            self.assertEqual(relay.counts()["connections"], 1)

    def test_passes_on_the_end_of_a_stream(self):
        with Echo() as echo, Relay(echo.address) as relay, connect(relay) as s:
            s.sendall(b"abc")
            s.shutdown(socket.SHUT_WR)
            self.assertEqual(receive(s, 3), b"abc")
            self.assertEqual(s.recv(10), b"")
            wait_until(lambda: relay.counts()["open"] == 0)

    def test_cut_resets_and_new_connections_are_welcome(self):
        with Echo() as echo, Relay(echo.address) as relay, connect(relay) as s:
            s.sendall(b"a")
            receive(s, 1)
            relay.cut()
            with self.assertRaises(OSError):
                receive(s, 1)
            with connect(relay) as again:
                again.sendall(b"b")
                self.assertEqual(receive(again, 1), b"b")

    def test_cut_after_a_number_of_bytes(self):
        with Echo() as echo, Relay(echo.address) as relay, connect(relay) as s:
            relay.cut_after(1000)
            with self.assertRaises(OSError):
                for _ in range(100):
                    s.sendall(b"x" * 100)
                    receive(s, 100)
            self.assertLess(relay.counts()["up"] + relay.counts()["down"], 1200)

    def test_block_refuses(self):
        with Echo() as echo, Relay(echo.address) as relay:
            relay.block()
            with self.assertRaises(OSError), connect(relay) as s:
                s.sendall(b"a")
                receive(s, 1)
            relay.unblock()
            with connect(relay) as s:
                s.sendall(b"a")
                receive(s, 1)

    def test_stall_moves_nothing_and_resume_moves_it_all(self):
        with Echo() as echo, Relay(echo.address) as relay, connect(relay) as s:
            s.sendall(b"a")
            receive(s, 1)
            relay.stall()
            s.sendall(b"b")
            s.settimeout(0.2)
            with self.assertRaises(OSError):
                s.recv(1)
            relay.resume()
            s.settimeout(5)
            self.assertEqual(receive(s, 1), b"b")

    def test_delay_and_rate(self):
        with Echo() as echo, Relay(echo.address, delay=0.1) as relay, connect(relay) as s:
            begin = time.monotonic()
            s.sendall(b"a")
            receive(s, 1)
            self.assertGreaterEqual(time.monotonic() - begin, 0.2)
            relay.delay = 0
            relay.rate = 20000
            begin = time.monotonic()
            s.sendall(b"x" * 10000)
            receive(s, 10000)
            self.assertGreaterEqual(time.monotonic() - begin, 0.4)


class ProcessTest(unittest.TestCase):
    def test_start_pause_kill_and_restart(self):
        with Workspace("lib-test") as workspace:
            p = Process("loop", [sys.executable, "-uc", "print('here')\nwhile True: pass"], workspace).start()
            p.wait_log("here")
            wait_until(lambda: p.cpu_seconds() > 0.05)
            p.pause()
            used = p.cpu_seconds()
            time.sleep(0.1)
            self.assertEqual(p.cpu_seconds(), used)
            p.resume()
            wait_until(lambda: p.cpu_seconds() > used)
            self.assertGreater(p.memory()["anon"], 1 << 20)
            p.kill()
            self.assertEqual(p.child.returncode, -9)
            p.start()
            wait_until(lambda: p.text().count("here\n") == 2)
            p.stop()
            self.assertFalse(p.alive())

    def test_a_process_that_ends_early_fails_the_wait(self):
        with Workspace("lib-test") as workspace:
            p = Process("ends", [sys.executable, "-c", "print('oh no')"], workspace).start()
            with self.assertRaisesRegex(AssertionError, "oh no"):
                p.wait_ready(lambda: False)
            self.assertEqual(p.run(), (0, "oh no\n"))

    def test_waiting_ends(self):
        with self.assertRaisesRegex(Timeout, "pigs to fly"):
            wait_until(lambda: False, 0.05, "pigs to fly")

    def test_seeds_repeat(self):
        self.assertEqual(seeded(5).random(), seeded(5).random())


if __name__ == "__main__":
    unittest.main()
