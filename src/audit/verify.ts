/**
 * Is a chain whole? Reads files in the order of their rotation, line by line and whatever their size, and stops at the first thing that is wrong.
 *
 * What it cannot see by itself: lines that are missing at the very end, and a chain that somebody has made anew from some line on, hashes and all.
 * Both are seen by an anchor: a hash that was noted elsewhere.
 */
import { createReadStream } from 'node:fs';
import { OwnEvent } from './events.ts';
import { type AuditLine, type ChainEnd, GENESIS, readLine } from './line.ts';
import { regionOf } from './tail.ts';

export type ProblemKind = 'changed' | 'missing' | 'reordered' | 'foreign' | 'torn' | 'anchor';

export interface AuditProblem {
  readonly kind: ProblemKind;
  readonly file: string;
  /** From 1; 0 where it is about all of the file. */
  readonly line: number;
  readonly text: string;
}

export interface Verified {
  readonly lines: number;
  /** Of the first and the last line; null where there is none. */
  readonly first: AuditLine | null;
  readonly last: AuditLine | null;
  /** Lines that a crash or a full disk has cut off, and that the line after them tells of. */
  readonly tornLines: number;
  /** Null: it is whole. */
  readonly problem: AuditProblem | null;
}

/** Of one line, in memory. A line of ours is far shorter: settings are the longest. */
const LINE_BYTES_MAX = 16_777_216;

/** `anchor`: a hash that must be that of a line, or the `prev` of the first. Rejects where a file cannot be read. */
export async function verifyFiles(files: readonly string[], anchor: string | null = null): Promise<Verified> {
  const chain = new ChainCheck(anchor);
  for await (const place of linesOf(files)) {
    const problem = chain.take(place);
    if (problem === null) continue;
    // Whether a line is missing or in the wrong place is seen by what comes after it.
    const isElsewhere = problem.kind === 'missing' && (await comesLater(files, place, chain.expectedSeq));
    return chain.result(
      isElsewhere ? { ...problem, kind: 'reordered', text: `${problem.text}; line ${chain.expectedSeq} comes later` } : problem,
    );
  }
  return chain.result(chain.finish(files.at(-1) ?? ''));
}

interface Place {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly bytes: Uint8Array;
  readonly hasLineEnd: boolean;
}

class ChainCheck {
  readonly #anchor: string | null;
  #isAnchored: boolean;
  #lines = 0;
  #tornLines = 0;
  #first: AuditLine | null = null;
  #last: AuditLine | null = null;
  #end: ChainEnd | null = null;
  /** What are no lines, since the last line. */
  #region: { readonly at: Place; readonly parts: Uint8Array[]; bytes: number; isClosed: boolean } | null = null;

  constructor(anchor: string | null) {
    this.#anchor = anchor;
    this.#isAnchored = anchor === null;
  }

  get expectedSeq(): number {
    return (this.#end?.seq ?? 0) + 1;
  }

  take(place: Place): AuditProblem | null {
    const line = readLine(place.bytes);
    if (line === 'changed') return this.#regionProblem() ?? problemAt(place, 'changed', 'its bytes do not give its hash');
    if (line === 'noLine') return this.#extendRegion(place);
    const problem = this.#regionProblemBefore(line) ?? this.#linkProblem(place, line);
    if (problem !== null) return problem;
    this.#lines++;
    this.#first ??= line;
    this.#last = line;
    this.#end = { seq: line.seq, hash: line.hash };
    this.#isAnchored ||= line.hash === this.#anchor || (this.#lines === 1 && line.prev === this.#anchor);
    return null;
  }

  finish(lastFile: string): AuditProblem | null {
    const open = this.#region;
    if (open !== null && !open.isClosed)
      return problemAt(open.at, 'torn', `the end is torn: ${open.bytes} bytes of a line without its end`);
    const problem = this.#regionProblem();
    if (problem !== null) return problem;
    const all = { file: lastFile, line: 0 };
    if (this.#lines === 0) return problemAt(all, 'missing', 'there is no line at all');
    if (!this.#isAnchored)
      return problemAt(
        all,
        'anchor',
        `no line has the hash ${this.#anchor}: lines are missing at the end, or this is another chain`,
      );
    return null;
  }

  result(problem: AuditProblem | null): Verified {
    return { lines: this.#lines, first: this.#first, last: this.#last, tornLines: this.#tornLines, problem };
  }

  #extendRegion(place: Place): AuditProblem | null {
    this.#region ??= { at: { ...place, bytes: EMPTY }, parts: [], bytes: 0, isClosed: true };
    const region = this.#region;
    if (region.parts.length > 0) region.parts.push(LINE_END);
    region.parts.push(place.bytes.slice());
    region.bytes += place.bytes.length;
    region.isClosed = place.hasLineEnd;
    return region.bytes > LINE_BYTES_MAX ? this.#regionProblem() : null;
  }

  /** The line after a torn one has said so, and has its bytes right. */
  #regionProblemBefore(line: AuditLine): AuditProblem | null {
    if (this.#region === null) return null;
    const { kind, bytes, sha256 } = regionOf(Buffer.concat(this.#region.parts));
    const isTold = line.event === OwnEvent.LINE_TORN && line.facts['bytes'] === bytes && line.facts['sha256'] === sha256;
    if (kind !== 'torn' || !isTold) return this.#regionProblem();
    this.#region = null;
    this.#tornLines++;
    return null;
  }

  #regionProblem(): AuditProblem | null {
    return this.#region === null
      ? null
      : problemAt(this.#region.at, 'changed', 'this is no line of an audit log, and no torn one that the next line tells of');
  }

  #linkProblem(place: Place, line: AuditLine): AuditProblem | null {
    const end = this.#end;
    if (end === null) {
      const isFirst = line.seq === GENESIS.seq + 1;
      return isFirst === (line.prev === GENESIS.hash) ? null : problemAt(place, 'foreign', FIRST_LINE);
    }
    if (line.prev === end.hash && line.seq === end.seq + 1) return null;
    const got = `this is line ${line.seq} of the chain, after line ${end.seq}`;
    if (line.seq === 1)
      return problemAt(
        place,
        'foreign',
        `another chain begins here, after line ${end.seq}; or are the files not in the order of rotation?`,
      );
    if (line.seq <= end.seq) return problemAt(place, 'reordered', `${got}: it is out of place or stands here twice`);
    if (line.seq > end.seq + 1) return problemAt(place, 'missing', `${got}: ${line.seq - end.seq - 1} are not before it`);
    return problemAt(
      place,
      'foreign',
      `${got}, and does not follow from it: that line was replaced with a new hash, or this one is of another chain`,
    );
  }
}

const EMPTY = new Uint8Array(0);
const LINE_END = Uint8Array.of(0x0a);
const FIRST_LINE = 'the first line of a chain, and no other, follows nothing';

function problemAt(
  { file, line }: { readonly file: string; readonly line: number },
  kind: ProblemKind,
  text: string,
): AuditProblem {
  return { kind, file, line, text };
}

async function comesLater(files: readonly string[], after: Place, seq: number): Promise<boolean> {
  let isAfter = false;
  for await (const { file, line, bytes } of linesOf(files)) {
    if (isAfter) {
      const found = readLine(bytes);
      if (typeof found === 'object' && found.seq === seq) return true;
    } else isAfter = file === after.file && line === after.line;
  }
  return false;
}

/** Each line's bytes are valid until the next one is asked for. */
export async function* linesOf(files: readonly string[]): AsyncGenerator<Place> {
  for (const file of files) {
    let line = 0;
    let rest: Uint8Array = EMPTY;
    for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, start)) {
        const own = chunk.subarray(start, at);
        const bytes = rest.length === 0 ? own : Buffer.concat([rest, own]);
        rest = EMPTY;
        yield { file, line: ++line, bytes, hasLineEnd: true };
        start = at + 1;
      }
      if (start < chunk.length) rest = Buffer.concat([rest, chunk.subarray(start)]);
      if (rest.length > LINE_BYTES_MAX) break; // No line: what is read of it is enough to say so.
    }
    if (rest.length > 0) yield { file, line: ++line, bytes: rest, hasLineEnd: false };
  }
}
