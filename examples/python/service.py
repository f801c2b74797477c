#!/usr/bin/env python3
"""An instance of the service `text`, and one more if you start it again: counts words, or refuses to.

Stops on SIGTERM or Ctrl-C when the calls that have begun are answered.
"""

import argparse
import asyncio
import os
import signal
import sys
import uuid

from relay_client import ConnectionLost, RelayError, ServiceError, stay_connected


async def count(payload, options):
    if not isinstance(payload, str):
        raise ServiceError("NOT_TEXT", f"the payload must be text, got {type(payload).__name__}")
    words = {}
    for word in payload.lower().split():
        words[word] = words.get(word, 0) + 1
    return {"words": words, "for": options.get("caller")}


async def sleep(payload, options):
    await asyncio.sleep(payload / 1000)  # Cancelled here when the caller gives up.
    return payload


HANDLERS = {"count": count, "sleep": sleep}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="text", help="of the service")
    parser.add_argument("--client", default=f"service.py-{uuid.uuid4()}")
    parser.add_argument("--url", default=os.environ.get("RELAY_URL", "ws://127.0.0.1:8080/v1/connect"))
    return parser.parse_args()


async def main(args):
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)

    async def session(connection):
        registered = await connection.register(args.name, HANDLERS, version="1.0.0", idempotent=["count"])
        print(f"{args.name}: serving as {registered['instance']}", flush=True)
        stopped, closed = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(connection.closed())
        await asyncio.wait([stopped, closed], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if closed.done():
            closed.result()  # Raises why: the next connection registers again.
        closed.cancel()
        await connection.deregister(args.name)

    def on_wait(lost, wait_ms):
        print(f"# disconnected {lost}; again in {wait_ms:.0f} ms", flush=True)

    await stay_connected(args.url, session, client=args.client, on_wait=on_wait)


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ConnectionLost, RelayError) as error:
        sys.exit(f"service.py: {error}")
