/**
 * One line of the audit log, sealed and read.
 *
 *   {"seq":7,"time":"…","event":"denied", …facts… ,"prev":"<hash of line 6>","hash":"<hash of line 7>"}
 *   └──────────────── what is hashed, with the closing brace ─────────────┘
 *
 *   L1  hash = SHA-256 over the line's bytes as they stand, without `,"hash":"…"`: so no rule about spaces or the order of keys is needed.
 *   L2  prev is the hash of the line before; of a chain's first line it is 64 zeros.
 *   L3  seq is one more than that of the line before; of a chain's first line it is 1.
 */
import { hash } from 'node:crypto';
import { isMap } from '../base/is-map.ts';

export interface ChainEnd {
  readonly seq: number;
  readonly hash: string;
}

/** Before a chain's first line. */
export const GENESIS: ChainEnd = { seq: 0, hash: '0'.repeat(64) };

export interface AuditLine {
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly prev: string;
  readonly hash: string;
  /** All of the line. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** `changed`: a line by its looks, and its hash is not that of its bytes. `noLine`: not even that. */
export type LineFault = 'changed' | 'noLine';

/** `body`: time, event and facts, as JSON without the braces. */
export function sealLine(after: ChainEnd, body: string): { readonly text: string; readonly end: ChainEnd } {
  const seq = after.seq + 1;
  const open = `{"seq":${seq},${body},"prev":"${after.hash}"`;
  const lineHash = sha256(`${open}}`);
  return { text: `${open},"hash":"${lineHash}"}\n`, end: { seq, hash: lineHash } };
}

const HASH_BYTES = 64;
const HEAD = '{"seq":';
const TAIL = ',"hash":"';
const TAIL_BYTES = TAIL.length + HASH_BYTES + '"}'.length;
const TAIL_SHAPE = /^,"hash":"([0-9a-f]{64})"\}$/;
const CLOSING_BRACE = 0x7d;

/** `bytes`: without the line end. They are the same afterwards, and are not kept. */
export function readLine(bytes: Uint8Array): AuditLine | LineFault {
  const tailStart = bytes.length - TAIL_BYTES;
  if (tailStart <= 0) return 'noLine';
  const tail = TAIL_SHAPE.exec(latin1(bytes.subarray(tailStart)));
  const facts = tail === null ? null : parseObject(bytes);
  if (tail === null || facts === null) return 'noLine';
  const { seq, time, event, prev } = facts as { seq: unknown; time: unknown; event: unknown; prev: unknown };
  if (!Number.isSafeInteger(seq) || typeof time !== 'string' || typeof event !== 'string' || typeof prev !== 'string')
    return 'noLine';
  // What is hashed ends with a brace where the hash begins: put there for the moment rather than copying the line.
  const comma = bytes[tailStart] as number;
  bytes[tailStart] = CLOSING_BRACE;
  const ownHash = sha256(bytes.subarray(0, tailStart + 1));
  bytes[tailStart] = comma;
  if (ownHash !== tail[1]) return 'changed';
  return { seq: seq as number, time, event, prev, hash: ownHash, facts };
}

/** Could this be the beginning of a line that was cut off? Zeros are what a file system leaves behind when the power fails. */
export function looksTorn(bytes: Uint8Array): boolean {
  if (bytes.every((byte) => byte === 0)) return true;
  return HEAD.startsWith(latin1(bytes.subarray(0, HEAD.length))) && parseObject(bytes) === null;
}

export function sha256(data: string | Uint8Array): string {
  return hash('sha256', data, 'hex');
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
    return isMap(value) ? value : null;
  } catch {
    return null;
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
