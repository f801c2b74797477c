#!/usr/bin/env python3
"""Calls a method of a service and prints its result as JSON."""

import argparse
import asyncio
import json
import os
import sys

from relay_client import Connection, ConnectionLost, RelayError


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    parser.add_argument("method")
    parser.add_argument("payload", nargs="?", default="null", help="JSON, or text where it is none")
    parser.add_argument("--deadline-ms", type=int, default=10_000)
    parser.add_argument("--url", default=os.environ.get("RELAY_URL", "ws://127.0.0.1:8080/v1/connect"))
    return parser.parse_args()


def payload_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


async def main(args):
    connection = await Connection.open(args.url, client="call.py")
    try:
        result = await connection.call(args.service, args.method, payload_of(args.payload), deadlineMs=args.deadline_ms)
        print(json.dumps(result, ensure_ascii=False, default=str))
    finally:
        await connection.close()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except RelayError as error:
        sys.exit(f"call.py: {error} {json.dumps(error.details)}")
    except ConnectionLost as error:
        sys.exit(f"call.py: {error}")
