"""A thin, slow, lossy IP link between two network namespaces, with its own counters.

    link = EmulatedLink.make(rate=32000, delay=0.35, loss=0.02, seed=1)   # None where the machine does not allow it
    link.near, link.far     names of the namespaces; addresses 10.99.0.1 and 10.99.0.2
    link.argv(near, [...])  the command, run in that namespace
    link.counts()           {'up': bytes, 'down': bytes} of IP packets that were sent into the link, from near and from far
    link.cut(); link.heal() nothing passes; everything passes again

Two TUN devices, and a process between them that lets packets through at `rate` bytes a second each way, after `delay`
seconds, dropping `loss` of them at random and those for which the queue is too long. The kernel's TCP does the rest.
"""

import fcntl
import heapq
import multiprocessing
import os
import random
import select
import struct
import subprocess
import time

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_NEAR, _FAR = "10.99.0.1", "10.99.0.2"


def _run(*argv):
    subprocess.run(argv, check=True, capture_output=True, text=True)


def _tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


class EmulatedLink:
    near_address, far_address = _NEAR, _FAR

    @classmethod
    def make(cls, **settings):
        """None, with a line that says why, where namespaces or TUN devices are not to be had."""
        try:
            return cls(**settings)
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"skipped: no emulated link on this machine: {getattr(e, 'stderr', '') or e}")
            return None

    def __init__(self, rate, delay, loss=0.0, seed=1, queue=1.0):
        """`queue`: seconds of traffic that wait before the link; beyond, packets are dropped."""
        tag = f"{os.getpid() % 100000}"
        self.near, self.far = f"sk-near-{tag}", f"sk-far-{tag}"
        self._names = (f"skn{tag}", f"skf{tag}")
        self._shared = multiprocessing.Array("q", 4)  # bytes up, bytes down, cut, end
        self._child = None
        made = []
        fds = []
        try:
            for space, device, address, peer in ((self.near, self._names[0], _NEAR, _FAR),
                                                 (self.far, self._names[1], _FAR, _NEAR)):
                _run("ip", "netns", "add", space)
                made.append(space)
                fds.append(_tun(device))
                _run("ip", "link", "set", device, "netns", space)
                within = ("ip", "-n", space)
                _run(*within, "link", "set", "lo", "up")
                _run(*within, "addr", "add", address, "peer", peer, "dev", device)
                _run(*within, "link", "set", device, "up")
            self._child = multiprocessing.Process(target=_forward, daemon=True,
                                                  args=(fds, rate, delay, loss, seed, queue, self._shared))
            self._child.start()
        except BaseException:
            self._remove(made)
            raise
        finally:
            for fd in fds:
                os.close(fd)

    @staticmethod
    def argv(space, argv):
        return ["ip", "netns", "exec", space, *argv]

    def counts(self):
        return {"up": self._shared[0], "down": self._shared[1]}

    def cut(self):
        self._shared[2] = 1

    def heal(self):
        self._shared[2] = 0

    def close(self):
        self._shared[3] = 1
        if self._child is not None:
            self._child.join(5)
        self._remove((self.near, self.far))

    @staticmethod
    def _remove(spaces):
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _forward(fds, rate, delay, loss, seed, queue, shared):
    chance = random.Random(seed)
    free = [0.0, 0.0]  # when the link takes the next packet, each way
    due = []  # (moment, number, way, packet)
    number = 0
    while not shared[3]:
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, way, packet = heapq.heappop(due)
            try:
                os.write(fds[1 - way], packet)
            except OSError:
                pass  # the other side's device has no room: lost
        wait = min(0.1, max(0.0, due[0][0] - now)) if due else 0.1
        ready, _, _ = select.select(fds, [], [], wait)
        now = time.monotonic()
        for fd in ready:
            way = fds.index(fd)
            try:
                packet = os.read(fd, 65536)
            except OSError:
                continue
            if packet[0] >> 4 != 4:
                continue  # the kernel's IPv6 chatter
            shared[way] += len(packet)
            if shared[2] or chance.random() < loss or free[way] - now > queue:
                continue
            free[way] = max(free[way], now) + len(packet) / rate
            number += 1
            heapq.heappush(due, (free[way] + delay, number, way, packet))
