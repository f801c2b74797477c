#!/usr/bin/env python3
"""Publishes a message, or every line of standard input, and prints the offsets."""

import argparse
import asyncio
import json
import os
import sys
import uuid

from relay_client import ConnectionLost, RelayError, stay_connected


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topic")
    parser.add_argument("message", nargs="?", help="without it: every line of standard input")
    parser.add_argument("--json", action="store_true", help="messages are JSON and travel as MessagePack values")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--url", default=os.environ.get("RELAY_URL", "ws://127.0.0.1:8080/v1/connect"))
    return parser.parse_args()


async def main(args):
    lines = iter([args.message] if args.message is not None else (line.rstrip("\n") for line in sys.stdin))
    headers = dict(header.split("=", 1) for header in args.header)
    options = {"headers": headers} if headers else {}
    unsent = None

    async def session(connection):
        nonlocal unsent
        while True:
            if unsent is None:
                line = await asyncio.to_thread(next, lines, None)
                if line is None:
                    return
                unsent = str(uuid.uuid4()), json.loads(line) if args.json else line
            # Lost before the answer came? The next session sends it again; the key makes it count once.
            key, payload = unsent
            result = await connection.publish(args.topic, payload, key=key, **options)
            unsent = None
            print(result["offset"], flush=True)

    def on_wait(lost, wait_ms):
        print(f"{lost}; again in {wait_ms:.0f} ms", file=sys.stderr, flush=True)

    await stay_connected(args.url, session, on_wait=on_wait)


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ConnectionLost, RelayError) as error:
        sys.exit(f"publish.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
