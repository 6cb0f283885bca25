"""A TCP relay between two parties that counts bytes and fails on request.

It runs an asyncio loop on a thread of its own; every method may be called from any thread.

    with Relay(("127.0.0.1", 7481)) as relay:    # listens on relay.port
        relay.cut()          resets all connections; new ones are welcome
        relay.block()        refuses new connections and resets those that are open; unblock()
        relay.stall()        keeps connections open and moves nothing, as a dead link does; resume()
        relay.delay = 0.3    seconds one way; relay.rate = 4000 bytes a second each way; None: unlimited
        relay.cut_after(n)   resets the connection in whose stream the n-th byte from now passes
        relay.counts()       {'up', 'down', 'connections', 'open'}; up is from the side that connects
"""

import asyncio
import socket
import struct
import threading

_chunk_bytes = 64 << 10
_in_flight_bytes_max = 1 << 20


class Relay:
    def __init__(self, to, host="127.0.0.1", port=0, delay=0.0, rate=None):
        self.to = to
        self.delay = delay
        self.rate = rate
        self._up = self._down = self._connections = 0
        self._cut_at = None
        self._blocked = False
        self._writers = {}
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server((host, port))
        self.port = self._socket.getsockname()[1]
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()
        self._started.wait()

    # From any thread.

    def counts(self):
        return {"up": self._up, "down": self._down, "connections": self._connections, "open": len(self._writers)}

    def cut(self):
        self._call(self._reset_all)

    def block(self):
        def block():
            self._blocked = True
            self._reset_all()
        self._call(block)

    def unblock(self):
        self._blocked = False

    def stall(self):
        self._call(self._gate.clear)

    def resume(self):
        self._call(self._gate.set)

    def cut_after(self, count):
        def arm():
            self._cut_at = self._up + self._down + count
        self._call(arm)

    def close(self):
        if self._thread.is_alive():
            self._call(self._reset_all)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # On the loop's thread.

    def _call(self, function):
        done = threading.Event()

        def run():
            function()
            done.set()
        self._loop.call_soon_threadsafe(run)
        done.wait()

    def _run(self):
        asyncio.set_event_loop(self._loop)

        async def start():
            self._gate = asyncio.Event()
            self._gate.set()
            self._server = await asyncio.start_server(self._accept, sock=self._socket)
            self._started.set()
        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    @staticmethod
    def _reset(writer):
        # A linger time of zero turns the close into a reset, whatever is queued.
        sock = writer.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        writer.transport.abort()

    def _reset_all(self):
        for pair in list(self._writers.values()):
            for writer in pair:
                self._reset(writer)

    async def _accept(self, reader, writer):
        if self._blocked:
            self._reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.to)
        except OSError:
            self._reset(writer)
            return
        self._connections += 1
        key = self._connections
        self._writers[key] = (writer, far_writer)
        for w in (writer, far_writer):
            w.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(self._pump(reader, far_writer, "_up"), self._pump(far_reader, writer, "_down"))
        except OSError:
            pass
        finally:
            self._writers.pop(key, None)
            self._reset(writer)
            self._reset(far_writer)

    async def _pump(self, reader, writer, counter):
        queue = asyncio.Queue(maxsize=_in_flight_bytes_max // _chunk_bytes)

        async def send():
            while True:
                due, data = await queue.get()
                if due > self._loop.time():
                    await asyncio.sleep(due - self._loop.time())
                await self._gate.wait()
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                while data:
                    rate = self.rate
                    piece = data if rate is None else data[:max(256, int(rate / 20))]
                    data = data[len(piece):]
                    if rate is not None:
                        await asyncio.sleep(len(piece) / rate)
                        await self._gate.wait()
                    writer.write(piece)
                    await writer.drain()
                    setattr(self, counter, getattr(self, counter) + len(piece))
                    if self._cut_at is not None and self._up + self._down >= self._cut_at:
                        self._cut_at = None
                        raise ConnectionResetError("cut")
        sender = asyncio.ensure_future(send())
        try:
            while True:
                await self._gate.wait()
                data = await reader.read(_chunk_bytes)
                put = asyncio.ensure_future(queue.put((self._loop.time() + self.delay, data)))
                await asyncio.wait({put, sender}, return_when=asyncio.FIRST_COMPLETED)
                if sender.done():
                    put.cancel()
                    return await sender
                if not data:
                    return await sender
        finally:
            sender.cancel()
