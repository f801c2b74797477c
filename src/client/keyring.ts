/**
 * Keyring: payloads in, envelopes out, and back. AES-256-GCM by the platform's WebCrypto; docs/encryption.md spells the bytes.
 *
 *   envelope    [1, key id, nonce (12 random bytes), ciphertext and tag]           one MessagePack value, the relay's payload
 *   plaintext   [sender | nil, number, payload]                                    MessagePack too
 *   bound to    version, key id and topic, as additional authenticated data        so no envelope is good on another topic
 *
 * Runs in browsers (https or localhost: elsewhere they have no WebCrypto) and Node. Knows no client and no relay; keys never leave it.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { EncryptionError } from './encryption-errors.ts';
import { encode, Reader } from './msgpack.ts';
import { throwProblems } from './options.ts';

export const ENVELOPE_VERSION = 1;
export const KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const KEY_ID_BYTES_MAX = 64;
export const SENDER_BYTES_MAX = 128;
/** Random nonces of 96 bits: after 2^32 the odds that two are the same, which gives both messages away, are 2^-33 (NIST SP 800-38D, 8.3). */
export const MESSAGES_MAX = 2 ** 32;
/** Keys, fetched ones included. */
const KEYS_MAX = 1_000;
/** Anybody who may publish can name key ids: they must not become a flood of requests. */
const FETCHES_MAX = 8;
const UNKNOWN_IDS_MAX = 1_000;
/** How long an id without a key is not asked for again; for how long after a fetch that failed. */
const UNKNOWN_MS = 30_000;
const FETCH_FAILED_MS = 1_000;

export type Envelope = readonly [version: number, keyId: string, nonce: Uint8Array, ciphertext: Uint8Array];

/** An AES-GCM key of 256 bits for encrypt and decrypt, or its 32 bytes. */
export type KeyMaterial = CryptoKey | Uint8Array;

export interface KeyringKey {
  /** 1..64 bytes of UTF-8; travels in the clear. */
  readonly id: string;
  readonly key: KeyMaterial;
  /** Encryptions that were made with it before, by whomever: they count. Default 0. */
  readonly usedCount?: number;
}

export interface KeyringOptions {
  readonly keys: readonly KeyringKey[];
  /** The id of the key that encrypts. The others only decrypt. */
  readonly current: string;
  /** Asked for an id that the keyring has no key of, once at a time for each id. Undefined: there is none. */
  readonly fetchKey?: (id: string) => KeyMaterial | undefined | Promise<KeyMaterial | undefined>;
  /** Encryptions with one key, `usedCount` included. Default 2^32, which is for all who encrypt with it together. */
  readonly messagesMax?: number;
  /** For tests. */
  readonly clock?: Clock;
}

export interface EncryptOptions {
  /** Where it will be published. On another topic it will not decrypt. */
  readonly topic: string;
  /** Goes along inside: who says so, 1..128 bytes, and their how-manieth message to the topic this is, from 1. */
  readonly sender?: string;
  readonly number?: number;
}

export interface Decrypted<T = unknown> {
  readonly payload: T;
  readonly keyId: string;
  /** As the sender, whoever has the key, has put it in; null without. */
  readonly sender: string | null;
  /** 0 without a sender. */
  readonly number: number;
}

interface Held {
  readonly key: Promise<CryptoKey>;
  usedCount: number;
}

const utf8 = new TextEncoder();

export class Keyring {
  readonly #keys = new Map<string, Held>();
  readonly #fetchKey: KeyringOptions['fetchKey'];
  readonly #messagesMax: number;
  readonly #clock: Clock;
  readonly #fetching = new Map<string, Promise<CryptoKey>>();
  /** Ids that had no key, and until when that is believed. Oldest first. */
  readonly #unknown = new Map<string, number>();
  #current: string;

  constructor({ keys, current, fetchKey, messagesMax = MESSAGES_MAX, clock = systemClock }: KeyringOptions) {
    const problems: string[] = [];
    if (!(messagesMax >= 1 && messagesMax <= MESSAGES_MAX))
      problems.push(`messagesMax must be in [1, ${MESSAGES_MAX}], got '${messagesMax}'`);
    throwProblems(problems);
    this.#fetchKey = fetchKey;
    this.#messagesMax = messagesMax;
    this.#clock = clock;
    for (const key of keys) this.add(key);
    this.#current = current;
    this.use(current);
  }

  /** The id of the key that encrypts. */
  get current(): string {
    return this.#current;
  }

  /** A key more, for decrypting until `use` says otherwise. The bytes may be wiped afterwards. */
  add({ id, key, usedCount = 0 }: KeyringKey): void {
    const problems: string[] = [];
    if (!isKeyId(id)) problems.push(`a key's id must be 1..${KEY_ID_BYTES_MAX} bytes of text, got '${id}'`);
    else if (this.#keys.has(id)) problems.push(`there is a key '${id}' already: another key needs another id`);
    if (this.#keys.size >= KEYS_MAX) problems.push(`a keyring holds at most ${KEYS_MAX} keys: forget() some`);
    throwProblems(problems);
    this.#keys.set(id, { key: imported(key), usedCount });
    this.#unknown.delete(id);
  }

  /** From now on this key encrypts. */
  use(id: string): void {
    if (!this.#keys.has(id)) throw new TypeError(`there is no key '${id}': add() it first`);
    this.#current = id;
  }

  /** What was encrypted with it will not decrypt any more. */
  forget(id: string): void {
    if (id === this.#current) throw new TypeError(`'${id}' is the key that encrypts: use() another one first`);
    this.#keys.delete(id);
  }

  /** Encryptions with this key so far, `usedCount` included: change keys long before `messagesMax`. */
  usedCount(id: string = this.#current): number {
    return this.#keys.get(id)?.usedCount ?? 0;
  }

  /** The payload as it is now becomes an envelope to publish. Rejects with KEY_EXHAUSTED, and with a TypeError for what MessagePack cannot carry. */
  async encrypt(payload: unknown, { topic, sender, number = 0 }: EncryptOptions): Promise<Envelope> {
    const isNumbered = sender === undefined ? number === 0 : isSender(sender) && number >= 1;
    const problems: string[] = [];
    if (typeof topic !== 'string' || topic === '') problems.push(`topic must be a string that is not empty, got '${topic}'`);
    if (!isNumbered || !Number.isSafeInteger(number))
      problems.push(`a sender has 1..${SENDER_BYTES_MAX} bytes and a number from 1 on, got '${sender}' and '${number}'`);
    throwProblems(problems);
    const plaintext = encode([sender ?? null, number, payload]);
    const id = this.#current;
    const held = this.#keys.get(id) as Held;
    if (held.usedCount >= this.#messagesMax)
      throw new EncryptionError('KEY_EXHAUSTED', { keyId: id, messagesMax: this.#messagesMax });
    held.usedCount++;
    const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const how = { name: 'AES-GCM', iv, additionalData: boundData(id, topic) };
    return [ENVELOPE_VERSION, id, iv, new Uint8Array(await crypto.subtle.encrypt(how, await held.key, plaintext))];
  }

  /** Rejects with an EncryptionError, whatever the envelope is. `topic` is the one that it came on. */
  async decrypt<T = unknown>(envelope: unknown, { topic }: { readonly topic: string }): Promise<Decrypted<T>> {
    const [, keyId, nonce, ciphertext] = checked(envelope);
    const key = await this.#keyOf(keyId);
    let plaintext: ArrayBuffer;
    try {
      const how = { name: 'AES-GCM', iv: nonce as BufferSource, additionalData: boundData(keyId, topic) };
      plaintext = await crypto.subtle.decrypt(how, key, ciphertext as BufferSource);
    } catch (cause) {
      throw new EncryptionError('NOT_AUTHENTIC', { keyId, topic }, { cause });
    }
    return { ...opened<T>(new Uint8Array(plaintext), keyId), keyId };
  }

  // ----

  async #keyOf(id: string): Promise<CryptoKey> {
    const held = this.#keys.get(id);
    if (held !== undefined) return held.key;
    const believedUntilMs = this.#unknown.get(id);
    const isKnownToLack = believedUntilMs !== undefined && this.#clock.monotonicMs() < believedUntilMs;
    const hasRoom = this.#fetching.has(id) || (this.#fetching.size < FETCHES_MAX && this.#keys.size < KEYS_MAX);
    if (this.#fetchKey === undefined || isKnownToLack || !hasRoom) throw new EncryptionError('UNKNOWN_KEY', { keyId: id });
    let fetching = this.#fetching.get(id);
    if (fetching === undefined) {
      fetching = this.#fetch(id).finally(() => this.#fetching.delete(id));
      this.#fetching.set(id, fetching);
    }
    return fetching;
  }

  async #fetch(id: string): Promise<CryptoKey> {
    let forMs = FETCH_FAILED_MS;
    try {
      const material = await this.#fetchKey?.(id);
      if (material === undefined) forMs = UNKNOWN_MS;
      else {
        const key = await imported(material);
        if (!this.#keys.has(id)) this.#keys.set(id, { key: Promise.resolve(key), usedCount: 0 }); // It may have been added meanwhile.
        return key;
      }
    } catch (cause) {
      this.#lack(id, forMs);
      throw new EncryptionError('UNKNOWN_KEY', { keyId: id }, { cause });
    }
    this.#lack(id, forMs);
    throw new EncryptionError('UNKNOWN_KEY', { keyId: id });
  }

  #lack(id: string, forMs: number): void {
    this.#unknown.delete(id);
    if (this.#unknown.size >= UNKNOWN_IDS_MAX) this.#unknown.delete(this.#unknown.keys().next().value as string);
    this.#unknown.set(id, this.#clock.monotonicMs() + forMs);
  }
}

export function createKeyring(options: KeyringOptions): Keyring {
  return new Keyring(options);
}

const isKeyId = (id: unknown): id is string => isText(id, KEY_ID_BYTES_MAX);
const isSender = (sender: unknown): sender is string => isText(sender, SENDER_BYTES_MAX);

function isText(text: unknown, bytesMax: number): boolean {
  return typeof text === 'string' && text !== '' && utf8.encode(text).length <= bytesMax;
}

/** Not extractable: what runs on the page can use the key, and cannot read it. Throws, or rejects, with a TypeError. */
function imported(key: KeyMaterial): Promise<CryptoKey> {
  let promise: Promise<CryptoKey>;
  if (ArrayBuffer.isView(key)) {
    if (key.byteLength !== KEY_BYTES) throw new TypeError(`a key must have ${KEY_BYTES} bytes, got ${key.byteLength}`);
    promise = crypto.subtle.importKey('raw', Uint8Array.from(key as Uint8Array), 'AES-GCM', false, ['encrypt', 'decrypt']);
  } else {
    const { name, length } = (key?.algorithm ?? {}) as { name?: string; length?: number };
    if (name !== 'AES-GCM' || length !== 8 * KEY_BYTES)
      throw new TypeError(`a key must be AES-GCM with ${8 * KEY_BYTES} bits, got ${name} with ${length}`);
    promise = Promise.resolve(key);
  }
  promise.catch(() => {}); // Whoever uses the key is told.
  return promise;
}

/** `01 | bytes of the key id | key id | topic`: one way to read it, so two different envelopes never have the same. */
function boundData(keyId: string, topic: string): Uint8Array<ArrayBuffer> {
  const id = utf8.encode(keyId);
  return Uint8Array.of(ENVELOPE_VERSION, id.length, ...id, ...utf8.encode(topic));
}

function checked(value: unknown): Envelope {
  if (!Array.isArray(value) || value.length !== 4 || !Number.isSafeInteger(value[0])) throw new EncryptionError('NOT_ENCRYPTED');
  const [version, keyId, nonce, ciphertext] = value as unknown[];
  if (version !== ENVELOPE_VERSION) throw new EncryptionError('UNSUPPORTED_VERSION', { version: version as number });
  const isWhole =
    isKeyId(keyId) &&
    nonce instanceof Uint8Array &&
    nonce.length === NONCE_BYTES &&
    ciphertext instanceof Uint8Array &&
    ciphertext.length >= TAG_BYTES;
  if (!isWhole) throw new EncryptionError('NOT_ENCRYPTED');
  return value as unknown as Envelope;
}

function opened<T>(plaintext: Uint8Array, keyId: string): { payload: T; sender: string | null; number: number } {
  let value: unknown;
  try {
    const reader = new Reader(plaintext);
    value = reader.value();
    if (!reader.isAtEnd) value = undefined;
  } catch (cause) {
    throw new EncryptionError('MALFORMED', { keyId }, { cause });
  }
  const [sender, number, payload] = Array.isArray(value) && value.length === 3 ? value : [undefined];
  const isNumbered = isSender(sender) ? number >= 1 : sender === null && number === 0;
  if (!isNumbered || !Number.isSafeInteger(number)) throw new EncryptionError('MALFORMED', { keyId });
  return { payload, sender, number };
}
