/**
 * Where a file's chain ends: found at the start, so that a new life of the relay goes on from the last line of the one before.
 *
 * Nothing is repaired: what stands behind the last whole line stays where it is, and the next line says what it is (audit-log.ts).
 */
import { type AuditLine, GENESIS, looksTorn, readLine, sha256 } from './line.ts';

/** What can be read at a place: a file, or in tests a buffer. */
export interface TailSource {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** What stands behind the last whole line. */
export interface TornRegion {
  /** `torn`: as a crash leaves it. `broken`: lines that do not fit the chain; no crash does that. */
  readonly kind: 'torn' | 'broken';
  /** Without the line end at its end, if there is one. */
  readonly bytes: number;
  readonly sha256: string;
}

export interface Tail {
  /** Null: there is no whole line in it. */
  readonly last: AuditLine | null;
  readonly region: TornRegion | null;
  /** The next line needs a line end before it. */
  readonly lacksLineEnd: boolean;
  /** `seq` of the first line; null where that is torn. */
  readonly firstSeq: number | null;
}

/** How far back a whole line is looked for: further than a batch, the largest line or what a power failure leaves. */
const LOOK_BACK_BYTES_MAX = 67_108_864;
const FIRST_WINDOW_BYTES = 65_536;
const LINE_END = 0x0a;

/** Null: this is no audit log. */
export async function readTail(source: TailSource, size: number): Promise<Tail | null> {
  if (size === 0) return { last: null, region: null, lacksLineEnd: false, firstSeq: null };
  for (let windowBytes = FIRST_WINDOW_BYTES; ; windowBytes *= 4) {
    const start = Math.max(0, size - windowBytes);
    const window = await readAt(source, start, size - start);
    const found = findLast(window, start === 0);
    if (found !== null) return tailOf(found, window, await readFirstSeq(source, size));
    if (start === 0) return isOurs(window) ? tailOf({ last: null, end: 0 }, window, null) : null;
    if (windowBytes >= LOOK_BACK_BYTES_MAX) return null;
  }
}

/** The last whole line of a window and where it ends, its line end included. */
function findLast(window: Uint8Array, isFromStart: boolean): { readonly last: AuditLine; readonly end: number } | null {
  let end = window.length;
  while (end > 0) {
    const lineEnd = window[end - 1] === LINE_END ? end - 1 : end;
    const start = window.lastIndexOf(LINE_END, lineEnd - 1) + 1;
    if (start === 0 && !isFromStart) return null; // Its beginning is outside.
    const line = lineEnd > start ? readLine(window.subarray(start, lineEnd)) : 'noLine';
    if (typeof line === 'object') return { last: line, end };
    end = start;
  }
  return null;
}

function tailOf({ last, end }: { last: AuditLine | null; end: number }, window: Uint8Array, firstSeq: number | null): Tail {
  const rest = window.subarray(end);
  return {
    last,
    region: rest.length === 0 ? null : regionOf(rest),
    lacksLineEnd: window.at(-1) !== LINE_END,
    firstSeq,
  };
}

/** The same whether or not the line end that closes it is there yet. */
export function regionOf(bytes: Uint8Array): TornRegion {
  const region = bytes.at(-1) === LINE_END ? bytes.subarray(0, -1) : bytes;
  const kind = linesOf(region).every(looksTorn) ? 'torn' : 'broken';
  return { kind, bytes: region.length, sha256: sha256(region) };
}

/** A file without one whole line: the first line was cut off, or it is somebody else's file, which is left alone. */
function isOurs(bytes: Uint8Array): boolean {
  return regionOf(bytes).kind === 'torn';
}

async function readFirstSeq(source: TailSource, size: number): Promise<number | null> {
  const head = await readAt(source, 0, Math.min(size, 64));
  const match = /^\{"seq":(\d{1,16}),/.exec(Buffer.from(head).toString('latin1'));
  return match === null ? null : Number(match[1]);
}

function linesOf(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start <= bytes.length; ) {
    const at = bytes.indexOf(LINE_END, start);
    const end = at < 0 ? bytes.length : at;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

async function readAt(source: TailSource, position: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await source.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break; // It was cut while it was being read.
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

export function chainEndOf(tail: Tail): { readonly seq: number; readonly hash: string } {
  return tail.last === null ? GENESIS : { seq: tail.last.seq, hash: tail.last.hash };
}
