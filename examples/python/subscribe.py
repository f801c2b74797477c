#!/usr/bin/env python3
"""Prints what is published, and goes on where it was after a lost connection.

One line for each message: topic, offset (0 without history), payload as JSON.
Lines that begin with # are events: skip and lost name what will not come, lagged what comes late.
"""

import argparse
import asyncio
import json
import os
import sys
import uuid

from relay_client import ConnectionLost, RelayError, Subscription, stay_connected


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="TOPIC-OR-PATTERN")
    parser.add_argument("--last", type=int, help="begin with the newest so many messages")
    parser.add_argument("--policy", choices=["disconnect", "dropOldest", "dropNewest", "conflate", "pause"])
    parser.add_argument("--presence", action="store_true", help="be a member, and see the others come and go")
    parser.add_argument("--client", default=f"subscribe.py-{uuid.uuid4()}", help="name for presence")
    parser.add_argument("--url", default=os.environ.get("RELAY_URL", "ws://127.0.0.1:8080/v1/connect"))
    return parser.parse_args()


def say(*words):
    print(*words, flush=True)


def as_json(value):
    return json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)


async def main(args):
    def subscription(name):
        options = {"policy": args.policy}
        if not any(token in ("*", ">") for token in name.split(".")):  # a pattern has no past and no members
            options |= {"last": args.last, "presence": args.presence or None}
        return Subscription(
            name,
            lambda topic, offset, meta, payload: say(topic, offset, as_json(payload)),
            lambda topic, kind, data: say(f"# {kind}", topic or name, as_json(data)),
            **{option: value for option, value in options.items() if value is not None},
        )

    subscriptions = [subscription(name) for name in args.names]

    async def session(connection):
        await asyncio.gather(*(connection.subscribe(each) for each in subscriptions))
        say("# subscribed", *args.names)
        await connection.closed()

    def on_wait(lost, wait_ms):
        say(f"# disconnected {lost}; again in {wait_ms:.0f} ms")

    await stay_connected(args.url, session, client=args.client, on_wait=on_wait)


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ConnectionLost, RelayError) as error:
        sys.exit(f"subscribe.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
