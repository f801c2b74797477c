"""End-to-end encrypted payloads, written from docs/encryption.md: AES-256-GCM, bound to version, key id and topic.

Needs python3-cryptography and python3-msgpack. Publish what `encrypt` returns as the payload; give `decrypt` the payload that came.
"""

import os

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION, KEY_BYTES, NONCE_BYTES, TAG_BYTES, KEY_ID_BYTES_MAX = 1, 32, 12, 16, 64


class EncryptionError(Exception):
    """`code` is one of docs/encryption.md: NOT_ENCRYPTED, UNSUPPORTED_VERSION, UNKNOWN_KEY, NOT_AUTHENTIC, MALFORMED."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def bound_data(key_id, topic):
    """What the tag covers besides the ciphertext: an envelope that is moved to another topic does not decrypt there."""
    name = key_id.encode()
    return bytes([VERSION, len(name)]) + name + topic.encode()


def encrypt(keys, key_id, topic, payload, sender=None, number=0):
    """`keys` maps key ids to 32 bytes. With a sender, `number` counts its messages to the topic, from 1."""
    plaintext = msgpack.packb([sender, number, payload])
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(keys[key_id]).encrypt(nonce, plaintext, bound_data(key_id, topic))
    return [VERSION, key_id, nonce, ciphertext]


def decrypt(keys, topic, envelope):
    """The payload, the sender and the number of what was encrypted. `topic` is the one that it came on."""
    if not isinstance(envelope, list) or len(envelope) != 4 or not isinstance(envelope[0], int):
        raise EncryptionError("NOT_ENCRYPTED")
    version, key_id, nonce, ciphertext = envelope
    if version != VERSION:
        raise EncryptionError("UNSUPPORTED_VERSION")
    if not isinstance(key_id, str) or not 1 <= len(key_id.encode()) <= KEY_ID_BYTES_MAX:
        raise EncryptionError("NOT_ENCRYPTED")
    if not isinstance(nonce, bytes) or len(nonce) != NONCE_BYTES:
        raise EncryptionError("NOT_ENCRYPTED")
    if not isinstance(ciphertext, bytes) or len(ciphertext) < TAG_BYTES:
        raise EncryptionError("NOT_ENCRYPTED")
    if key_id not in keys:
        raise EncryptionError("UNKNOWN_KEY")
    try:
        plaintext = AESGCM(keys[key_id]).decrypt(nonce, ciphertext, bound_data(key_id, topic))
    except InvalidTag:
        raise EncryptionError("NOT_AUTHENTIC") from None
    try:
        sender, number, payload = msgpack.unpackb(plaintext, strict_map_key=False, unicode_errors="replace")
    except (ValueError, TypeError, msgpack.UnpackException):
        raise EncryptionError("MALFORMED") from None
    return payload, sender, number
