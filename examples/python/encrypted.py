#!/usr/bin/env python3
"""Publishes a message that the relay cannot read, or prints those that come."""

import argparse
import asyncio
import json
import os
import sys
import uuid

from relay_client import ConnectionLost, RelayError, Subscription, stay_connected
from relay_encryption import EncryptionError, decrypt, encrypt


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["publish", "subscribe"])
    parser.add_argument("topic")
    parser.add_argument("message", nargs="?", default="null", help="JSON")
    parser.add_argument("--key", required=True, metavar="ID=HEX", help="the key's id and its 32 bytes; openssl rand -hex 32")
    parser.add_argument("--url", default=os.environ.get("RELAY_URL", "ws://127.0.0.1:8080/v1/connect"))
    return parser.parse_args()


async def main(args):
    key_id, _, digits = args.key.partition("=")
    keys = {key_id: bytes.fromhex(digits)}

    def on_message(topic, offset, meta, envelope):
        try:
            payload, sender, number = decrypt(keys, topic, envelope)
        except EncryptionError as error:
            print(f"# {topic} {offset} {error.code}", flush=True)
        else:
            print(f"{topic} {offset} {sender or '-'} {number} {json.dumps(payload, ensure_ascii=False, default=str)}", flush=True)

    def on_event(topic, kind, data):
        print(f"# {kind} {topic} {json.dumps(data)}", flush=True)

    envelope = encrypt(keys, key_id, args.topic, json.loads(args.message))
    idempotency_key = str(uuid.uuid4())
    subscription = Subscription(args.topic, on_message, on_event)

    async def session(connection):
        if args.action == "publish":
            result = await connection.publish(args.topic, envelope, key=idempotency_key)
            print(result["offset"], flush=True)
            return
        await connection.subscribe(subscription)
        print(f"# subscribed {args.topic}", flush=True)
        await connection.closed()

    await stay_connected(args.url, session)


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ConnectionLost, RelayError) as error:
        sys.exit(f"encrypted.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
