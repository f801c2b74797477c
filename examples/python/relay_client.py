"""A client for Clari RELAY in one file, written from docs/protocol.md alone. Copy it, change it.

`Connection` is one WebSocket. `Subscription` is what you read and how far you got; it outlives connections.
`stay_connected` opens one connection after another and waits between them as the relay asks.
"""

import asyncio
import random
import re

import msgpack
import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake

HELLO, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 1, 2, 3, 4
CALL, CANCEL, RETURN, REGISTER, DEREGISTER = 5, 6, 7, 8, 9
OK, ERROR, MESSAGE, EVENT, INVOKE, RESULT, CANCELLED, GOAWAY = 32, 33, 34, 35, 36, 37, 38, 39
PAYLOAD_IS_LAST = (MESSAGE, INVOKE, RESULT)

BASE_MS, CAP_MS = 1_000, 30_000  # of the back-off; the relay's reconnectJitterMs replaces the base
PATIENCE = 8  # times that a command is repeated when the relay asks to come again later


class RelayError(Exception):
    """The relay refused a command. With `retry_after_ms` it is worth another try after that."""

    def __init__(self, code, text, details):
        super().__init__(f"{text} ({code})")
        self.code, self.text, self.details = code, text, details or {}
        self.retry_after_ms = self.details.get("retryAfterMs")


class ConnectionLost(Exception):
    """`wait_ms` is how long the relay asked to stay away, None if it did not; `final` means do not come back."""

    def __init__(self, text, wait_ms=None, final=False):
        super().__init__(text)
        self.wait_ms, self.final = wait_ms, final


def decode(data):
    """One WebSocket message holds relay messages back to back. Payloads come from strangers: they stay bytes here."""
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="replace", max_buffer_size=len(data))
    unpacker.feed(data)
    while unpacker.tell() < len(data):
        size = unpacker.read_array_header()
        message = [unpacker.unpack()]
        with_payload = message[0] in PAYLOAD_IS_LAST
        message += [unpacker.unpack() for _ in range(size - 2 if with_payload else size - 1)]
        if with_payload:
            start = unpacker.tell()
            unpacker.skip()
            message.append(data[start : unpacker.tell()])
        yield message


def decode_payload(data):
    """Well-formed MessagePack can still be a map that Python has no dict for: then you get the bytes."""
    try:
        return msgpack.unpackb(data, strict_map_key=False, unicode_errors="replace")
    except (ValueError, TypeError, msgpack.UnpackException):
        return data


class Subscription:
    """A topic or pattern, two callbacks, and the last position that was processed."""

    def __init__(self, name, on_message, on_event, **options):
        self.name, self.on_message, self.on_event, self.options = name, on_message, on_event, options
        self.epoch = self.offset = None
        self.known = False

    def since(self):
        return None if self.epoch is None or self.offset is None else {"epoch": self.epoch, "offset": self.offset}

    def accepted(self, result):
        """The OK to SUBSCRIBE. `recovered` keeps our position: what we missed follows and moves it."""
        recovered = result.get("recovered", False)
        if self.known and not recovered:
            start, end = result.get("lost") or (None, None)
            reason = result.get("reason", "NO_HISTORY")
            lost = {"from": start, "to": end, "reason": reason, "epoch": result["epoch"], "offset": result["offset"]}
            self.on_event(None, "lost", lost)
        if not recovered or (self.offset is None and not result["replay"]):
            self.offset = result["offset"]
        self.epoch = result["epoch"]
        self.known = True

    def message(self, topic, offset, meta, payload):
        self.on_message(topic or self.name, offset, meta or {}, decode_payload(payload))
        if topic is None and offset > 0:
            self.offset = offset

    def event(self, topic, kind, data):
        self.on_event(topic or self.name, kind, data)
        if topic is None and kind == "skip":
            self.offset = max(self.offset or 0, data["to"])
        elif topic is None and kind == "lost":
            self.epoch, self.offset = data["epoch"], data["offset"]


class ServiceError(Exception):
    """Raise it in a handler: the caller gets SERVICE_ERROR with this code and text in its details."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Connection:
    """One WebSocket, after HELLO. Commands raise RelayError, or ConnectionLost when it is over."""

    def __init__(self, ws):
        self.ws, self.hello = ws, {}
        self.last_id, self.waiting, self.subscriptions = 0, {}, {}
        self.services, self.calls = {}, {}
        self.goaway = self.slot = self.leaving = None
        self.reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url, client=None, token=None):
        try:
            # The library answers pings, and sends its own: that is how a dead relay is noticed.
            ws = await websockets.connect(url, subprotocols=["relay.v1"], compression=None, max_size=None)
        except (OSError, asyncio.TimeoutError, InvalidHandshake) as error:
            # websockets 14 and later (Debian 13) keep the answer in `response`; before that (Debian 12) it is the error itself.
            answer = getattr(error, "response", error)
            status = getattr(answer, "status_code", None)
            if status is None:
                raise ConnectionLost(f"no connection: {error}") from None
            if status < 500:
                raise ConnectionLost(f"refused with HTTP {status}", final=True) from None
            seconds = answer.headers.get("Retry-After", "")
            wait_ms = int(seconds) * 1000 if seconds.isdigit() else None
            raise ConnectionLost(f"refused with HTTP {status}", wait_ms) from None
        connection = cls(ws)
        said = {name: value for name, value in (("client", client), ("token", token)) if value is not None}
        try:
            connection.hello = await connection.command(HELLO, said)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def publish(self, topic, payload, **options):
        """Options as in the protocol: key, headers, ttlMs, echo. With a key a publish that is repeated
        counts once, as long as the relay remembers the key."""
        return await self.command(PUBLISH, topic, options or None, payload)

    async def subscribe(self, subscription):
        """Begins, or goes on after the last position that was processed."""
        options, since = dict(subscription.options), subscription.since()
        if since:
            options.pop("last", None)
            options["since"] = since

        def accepted(result):
            self.subscriptions[result["sub"]] = subscription
            subscription.accepted(result)

        return await self.command(SUBSCRIBE, subscription.name, options or None, on_ok=accepted)

    async def unsubscribe(self, subscription):
        await self.command(UNSUBSCRIBE, subscription.name)

    async def call(self, service, method, payload, **options):
        """Options as in the protocol: deadlineMs, hashKey, headers, idempotent, version and so on. One result, no stream.
        Cancel the task that waits here, and the call is cancelled at the instance too."""
        number = self.last_id + 1  # the one that _ask gives it
        try:
            return decode_payload(await self._ask(CALL, (service, method, options or None, payload), None))
        except asyncio.CancelledError:
            if not self.reader.done():
                await self.ws.send(msgpack.packb([CANCEL, 0, service, number]))
            raise

    async def register(self, service, handlers, **options):
        """Serves calls: `handlers` maps methods to functions of (payload, options), async ones as a rule."""
        self.services[service] = handlers  # Before the answer: a call may follow it in the same WebSocket message.
        return await self.command(REGISTER, service, {"methods": list(handlers), **options})

    async def deregister(self, service):
        """No new calls from here on; those that have begun are answered."""
        await self.command(DEREGISTER, service)
        while self.calls:
            await asyncio.wait(list(self.calls.values()))

    async def _serve(self, number, service, method, options, payload):
        try:
            handler = self.services[service][method]
            result = handler(decode_payload(payload), options)
            answer = [RETURN, number, None, await result if asyncio.iscoroutine(result) else result]
        except ServiceError as error:
            answer = [RETURN, number, {"error": {"code": error.code, "text": error.text}}, None]
        except Exception as error:
            answer = [RETURN, number, {"error": {"code": "INTERNAL", "text": repr(error)}}, None]
        try:
            await self.ws.send(msgpack.packb(answer))
        except ConnectionClosed:
            pass  # The relay has told the caller already that we are lost.

    async def command(self, kind, *rest, on_ok=None):
        for attempt in range(PATIENCE + 1):
            try:
                return await self._ask(kind, rest, on_ok)
            except RelayError as error:
                if error.retry_after_ms is None or attempt == PATIENCE:
                    raise
                await asyncio.sleep(error.retry_after_ms / 1000 * (1 + random.random()))

    async def _ask(self, kind, rest, on_ok):
        if self.goaway or self.reader.done():
            raise self.lost()
        self.last_id += 1
        number, reply = self.last_id, asyncio.get_running_loop().create_future()
        self.waiting[number] = reply, on_ok
        try:
            await self.ws.send(msgpack.packb([kind, number, *rest]))
            return await reply
        except ConnectionClosed:
            raise self.lost() from None
        finally:
            self.waiting.pop(number, None)

    async def _read(self):
        try:
            async for data in self.ws:
                for message in decode(data):
                    self._take(*message)
        except ConnectionClosed:
            pass
        finally:
            for call in self.calls.values():
                call.cancel()
            for reply, _ in self.waiting.values():
                if not reply.done():
                    reply.set_exception(self.lost())

    def _take(self, kind, *rest):
        if kind == OK or kind == ERROR:
            reply, on_ok = self.waiting.get(rest[0], (None, None))
            if reply is None or reply.done():
                return
            if kind == ERROR:
                reply.set_exception(RelayError(*rest[1:]))
                return
            if on_ok:
                on_ok(rest[1])  # here and now: the next message may already belong to this subscription
            reply.set_result(rest[1])
        elif kind == RESULT:
            reply, _ = self.waiting.get(rest[0], (None, None))
            if reply is None or reply.done():
                return
            if rest[1]:  # A part of a stream, and others follow: more than this client can take.
                reply.set_exception(RelayError(0, "the method streams its result", None))
            else:
                reply.set_result(rest[2])
        elif kind == INVOKE:
            self.calls[rest[0]] = call = asyncio.create_task(self._serve(*rest))
            call.add_done_callback(lambda _: self.calls.pop(rest[0], None))
        elif kind == CANCELLED:
            call = self.calls.get(rest[0])
            if call:
                call.cancel()
        elif kind == MESSAGE or kind == EVENT:
            subscription = self.subscriptions.get(rest[0])
            if subscription:
                take = subscription.message if kind == MESSAGE else subscription.event
                take(*rest[1:])
        elif kind == GOAWAY and self.goaway is None:
            self.goaway = rest[0]
            self.slot = asyncio.get_running_loop().time() + self.goaway["reconnectAfterMs"] / 1000
            self.leaving = asyncio.create_task(self._leave())

    async def _leave(self):
        under_way = [reply for reply, _ in self.waiting.values()] + list(self.calls.values())
        if under_way:
            await asyncio.wait(under_way, timeout=self.goaway["deadlineMs"] / 1000)
        await self.ws.close()

    def lost(self):
        """Why this connection ended, and what the relay wants us to do about it."""
        if self.goaway:
            wait_ms = max(0, (self.slot - asyncio.get_running_loop().time()) * 1000)
            return ConnectionLost(f"asked to leave: {self.goaway['reason']}", wait_ms)
        code, reason = self.ws.close_code, self.ws.close_reason or ""
        asked = re.search(r"retryAfterMs=(\d+)", reason)
        final = code in (1003, 1009) or (code is not None and 4500 <= code <= 4599)
        return ConnectionLost(f"closed with {code} {reason}".rstrip(), int(asked[1]) if asked else None, final)

    async def closed(self):
        """Waits for the end, then raises why."""
        await asyncio.shield(self.reader)
        raise self.lost()

    async def close(self):
        await self.ws.close()
        await asyncio.wait([self.reader])


async def stay_connected(url, session, client=None, on_wait=lambda lost, wait_ms: None):
    """Runs `session(connection)` until it returns, on a new connection whenever one is lost."""
    base_ms, failures = BASE_MS, 0
    while True:
        try:
            connection = await Connection.open(url, client)
            base_ms, failures = connection.hello.get("reconnectJitterMs", BASE_MS), 0
            try:
                return await session(connection)
            finally:
                await connection.close()
        except ConnectionLost as lost:
            if lost.final:
                raise
            # Full jitter, before the first retry too: everybody else has just lost their connection as well.
            wait_ms = random.uniform(0, min(CAP_MS, base_ms * 2**failures)) if lost.wait_ms is None else lost.wait_ms
            failures += 1
            on_wait(lost, wait_ms)
        await asyncio.sleep(wait_ms / 1000)
