/**
 * The audit log: events in, lines of a hash chain out, in order and never in silence when they cannot be written.
 *
 * Thread: main. `record` only queues; one pump at a time takes lines from the queue's head, seals them into the chain and appends them. A line is
 * sealed when it is about to be written and not before: so whatever is lost on the way leaves no hole in the chain, only a line that says so.
 *
 *   A1  What is in the file is a prefix of the chain; #end is where it stops, counting a line that is in it by a part.
 *   A2  Of a line that is in the file by a part the rest is written before anything else (#partial).
 *   A3  After a failure or a loss (#gap) the first line that is queued says since when, why, and how many lines were lost.
 */

import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { LogFacts } from '../telemetry/log.ts';
import type { AuditFile, FileChange } from './audit-file.ts';
import { type AuditEvent, OwnEvent } from './events.ts';
import { cleanFact } from './facts.ts';
import { type ChainEnd, GENESIS, sealLine } from './line.ts';
import { RepeatBook } from './repeats.ts';
import { regionOf, type TornRegion } from './tail.ts';

export const ON_FAILURE_WORDS = ['block', 'count'] as const;
export type OnFailure = (typeof ON_FAILURE_WORDS)[number];

export interface AuditLogOptions {
  /** `block`: nobody new comes in until it can be written again. `count`: on without it, and what is lost is counted. */
  readonly onFailure: OnFailure;
  /** Lines that wait to be written. */
  readonly queueLinesMax: number;
  /** A file is left before it gets larger; 0: never. */
  readonly fileBytesMax: number;
  /** Rotated files that are kept; 0: all. */
  readonly filesMax: number;
  /** Longest time that what is written may only be in the system's memory; 0: as long as the system likes. */
  readonly syncMs: number;
}

/** Where the log says what an operator must know of itself. */
export type AuditNotice = (level: 'info' | 'warn' | 'error', text: string, facts: LogFacts) => void;

/** Plain numbers on the main thread; read at scrape. */
export class AuditMetrics {
  linesWritten = 0;
  linesLost = 0;
  /** Events without a line of their own: another line has their number. */
  eventsCollapsed = 0;
  writeFailures = 0;
  filesRotated = 0;
}

interface Failing {
  readonly sinceMs: number;
  readonly cause: string;
  retryAtMs: number;
}

/** A time in which lines waited or were lost. */
interface Gap {
  readonly sinceMs: number;
  readonly cause: string;
  lost: number;
  readonly lostByEvent: Map<string, number>;
}

interface QueuedLine {
  readonly event: string;
  readonly body: string;
}

/** A line that is in the file by its beginning. Without a line of its own: a line end that is owed to an earlier life. */
interface PartialLine {
  readonly rest: Uint8Array;
  readonly begun: Uint8Array;
  readonly line: QueuedLine | null;
  /** Before that line. */
  readonly end: ChainEnd;
}

interface SealedLine {
  readonly line: QueuedLine;
  readonly bytes: Uint8Array;
  readonly end: ChainEnd;
}

const BATCH_BYTES_MAX = 262_144;
const BATCH_LINES_MAX = 512;
const RETRY_MS = 1_000;
/** A rotation that fails is no loss: lines go on into the old file. */
const ROTATION_RETRY_MS = 60_000;
const REPEATS_WINDOW_MS = 1_000;
/** How often the file is looked at while lines are written: moved, deleted, cut? */
const CHECK_MS = 1_000;
/** How often the log outside is told how far the chain is. */
const ANCHOR_MS = 3_600_000;
const CLOSE_MS_MAX = 5_000;
const LINE_END = Uint8Array.of(0x0a);
/** Of these there are few, and a line of the end of a life must not be the one that is lost: they pass the queue's bound. */
const PASSES_BOUND: ReadonlySet<string> = new Set([
  'started',
  'configured',
  'listening',
  'draining',
  'stopped',
  OwnEvent.AUDIT_RESUMED,
]);

export class AuditLog {
  readonly metrics = new AuditMetrics();
  readonly #options: AuditLogOptions;
  readonly #file: AuditFile;
  readonly #clock: Clock;
  readonly #notice: AuditNotice;
  readonly #repeats = new RepeatBook();
  #queue: QueuedLine[] = [];
  #partial: PartialLine | null = null;
  #end: ChainEnd = GENESIS;
  #failing: Failing | null = null;
  #gap: Gap | null = null;
  /** The bound was reached; until half of it is free again. */
  #isFull = false;
  #pumping: Promise<void> | null = null;
  #isOpen = false;
  #isReopenAsked = false;
  #expired: readonly string[] = [];
  #isUnsynced = false;
  #windowEndsAtMs: number;
  #checkAtMs: number;
  #syncAtMs: number;
  #anchorAtMs: number;
  #rotateAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: AuditLogOptions, file: AuditFile, clock: Clock, notice: AuditNotice) {
    this.#options = options;
    this.#file = file;
    this.#clock = clock;
    this.#notice = notice;
    const nowMs = clock.monotonicMs();
    this.#windowEndsAtMs = nowMs + REPEATS_WINDOW_MS;
    this.#checkAtMs = nowMs + CHECK_MS;
    this.#syncAtMs = nowMs + options.syncMs;
    this.#anchorAtMs = nowMs + ANCHOR_MS;
  }

  /**
   * Opens the file and goes on where its chain ends. Rejects where it cannot be opened, or is no audit log.
   * What was recorded before is written now.
   */
  async open(): Promise<void> {
    const { end, lastEvent, region, lacksLineEnd } = await this.#file.open();
    this.#end = end;
    this.#isOpen = true;
    if (lacksLineEnd) this.#partial = { rest: LINE_END, begun: new Uint8Array(0), line: null, end };
    if (region !== null) this.#sayRegion(region);
    this.#notice('info', 'audit log opened', {
      file: this.#file.path,
      seq: end.seq,
      hash: end.hash,
      ...(lastEvent === null || lastEvent === 'stopped' ? {} : { lastLineWas: lastEvent }),
    });
    this.#wake();
  }

  /** Never throws and never waits. */
  record(event: AuditEvent): void {
    if (
      (event.kind === 'denied' || event.kind === 'authenticationFailed' || event.kind === 'refreshed') &&
      !this.#repeats.isFirst(event)
    ) {
      this.metrics.eventsCollapsed++;
      return;
    }
    this.#enqueue(event.kind, event);
  }

  /** Nobody new may come in, and no operator may change anything. */
  get isBlocked(): boolean {
    return this.#options.onFailure === 'block' && (this.#failing !== null || this.#isFull);
  }

  /** What is wrong; null where nothing is. */
  get trouble(): string | null {
    if (this.#failing !== null) {
      const since = new Date(this.#failing.sinceMs).toISOString();
      return `cannot be written since ${since}: ${this.#failing.cause}; ${this.#queue.length} lines wait, ${this.#gap?.lost ?? 0} are lost`;
    }
    if (this.#isFull) return `${this.#queue.length} lines wait to be written: auditQueueLinesMax`;
    return null;
  }

  get queuedLines(): number {
    return this.#queue.length;
  }

  /** Of the last line that is in the file. */
  get end(): ChainEnd {
    return this.#end;
  }

  /** A few times a second. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= this.#windowEndsAtMs) {
      this.#windowEndsAtMs = nowMs + REPEATS_WINDOW_MS;
      this.#sayRepeats();
    }
    if (nowMs >= this.#anchorAtMs) this.#tellAnchor(nowMs);
    this.#wake();
  }

  /** Before the next line the path is opened anew: what rotates files from outside has moved it away. */
  reopen(): void {
    this.#isReopenAsked = true;
    if (this.#failing !== null) this.#failing.retryAtMs = Number.NEGATIVE_INFINITY;
    this.#wake();
  }

  /** Resolves when everything so far is in the file, or cannot be written now. */
  async flush(): Promise<void> {
    while (this.#isOpen) {
      this.#wake();
      if (this.#pumping === null) return;
      await this.#pumping;
    }
  }

  /** The last lines go out. Waits a few seconds at most; says how many lines it could not write. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#sayRepeats();
    if (this.#failing !== null) this.#failing.retryAtMs = Number.NEGATIVE_INFINITY; // One more try.
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS_MAX);
    });
    await Promise.race([this.flush(), tooLate]);
    clearTimeout(timer);
    this.#isOpen = false;
    const { lost = 0, cause = '' } = this.#gap ?? {};
    const lines = this.#queue.length + (this.#partial?.line ? 1 : 0) + lost;
    if (lines > 0) this.#notice('error', 'audit lines are lost with the end of the relay', { lines, cause });
    this.#tellAnchor(this.#clock.monotonicMs());
    if (this.#pumping !== null) return; // Stuck in a write: the file is the system's to close.
    if (this.#options.syncMs > 0 && this.#isUnsynced) await this.#file.sync().catch((error: Error) => this.#fail(error));
    await this.#file.close();
  }

  // ---- the queue

  #enqueue(event: string, facts: object): void {
    const { queueLinesMax, onFailure } = this.#options;
    const waiting = this.#queue.length;
    if (waiting >= queueLinesMax && !this.#isFull) {
      this.#isFull = true;
      this.#notice('error', 'the audit log is behind: its queue is full', {
        auditQueueLinesMax: queueLinesMax,
        auditOnFailure: onFailure,
      });
    }
    // Nobody new comes in while it blocks, but those who are connected go on: as many lines again for them.
    const linesMax = onFailure === 'block' ? 2 * queueLinesMax : queueLinesMax;
    if (waiting >= linesMax && !PASSES_BOUND.has(event)) {
      this.metrics.linesLost++;
      this.#gap ??= this.#newGap(this.#failing?.cause ?? 'the queue was full: auditQueueLinesMax');
      this.#gap.lost++;
      this.#gap.lostByEvent.set(event, (this.#gap.lostByEvent.get(event) ?? 0) + 1);
      return;
    }
    if (this.#gap !== null && this.#failing === null && event !== OwnEvent.AUDIT_RESUMED) this.#sayGap(this.#gap);
    this.#queue.push(this.#lineOf(event, facts));
    this.#wake();
  }

  #lineOf(event: string, facts: object): QueuedLine {
    const time = new Date(this.#clock.nowMs()).toISOString();
    let body = `"time":"${time}","event":${JSON.stringify(event)}`;
    for (const [name, value] of Object.entries(facts)) {
      if (name === 'kind' || value === undefined) continue;
      assert(!RESERVED_NAMES.has(name), 'a fact has the name of a part of the line');
      body += `,${JSON.stringify(name)}:${JSON.stringify(cleanFact(name, value)) ?? 'null'}`;
    }
    return { event, body };
  }

  #sayRepeats(): void {
    for (const { event, repeats, of } of this.#repeats.drain()) this.#enqueue(event.kind, { ...event, repeats, of });
  }

  #sayRegion(region: TornRegion): void {
    const event = region.kind === 'torn' ? OwnEvent.LINE_TORN : OwnEvent.LINE_BROKEN;
    const { bytes, sha256 } = region;
    this.#queue.unshift(this.#lineOf(event, { bytes, sha256 }));
    if (region.kind === 'torn')
      this.#notice('warn', 'the last line of the audit log was cut off; it stays, and the next line says so', { bytes });
    else
      this.#notice('error', 'the end of the audit log has been changed; it stays, and the next line says so', { bytes, sha256 });
  }

  #newGap(cause: string): Gap {
    return { sinceMs: this.#clock.nowMs(), cause, lost: 0, lostByEvent: new Map() };
  }

  #sayGap({ sinceMs, cause, lost, lostByEvent }: Gap): void {
    this.#gap = null;
    const since = new Date(sinceMs).toISOString();
    this.#enqueue(OwnEvent.AUDIT_RESUMED, {
      since,
      cause,
      lost,
      ...(lost === 0 ? {} : { lostByEvent: Object.fromEntries(lostByEvent) }),
    });
    if (lost > 0) this.#notice('error', 'audit lines were lost', { lines: lost, since, cause });
  }

  // ---- the pump

  get #hasWork(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (this.#failing !== null && nowMs < this.#failing.retryAtMs) return false;
    const hasLines = this.#queue.length > 0 || this.#partial !== null || this.#gap !== null;
    return hasLines || this.#isReopenAsked || this.#isSyncDue(nowMs);
  }

  #isSyncDue(nowMs: number): boolean {
    return this.#isUnsynced && this.#options.syncMs > 0 && nowMs >= this.#syncAtMs;
  }

  #wake(): void {
    if (!this.#isOpen || this.#pumping !== null || !this.#hasWork) return;
    // After the turn: what one turn records is one write.
    this.#pumping = new Promise((resolve) => {
      setImmediate(() => {
        this.#pump().then(() => {
          this.#pumping = null;
          resolve();
          this.#wake(); // For what came while the last of it was written.
        });
      });
    });
  }

  async #pump(): Promise<void> {
    try {
      await this.#followFile();
      while (this.#isOpen) {
        if (this.#queue.length === 0 && this.#partial === null) {
          if (this.#gap === null) break;
          this.#sayGap(this.#gap);
        }
        await this.#rotateIfDue();
        const batch = this.#seal();
        const { writtenBytes, error } = await this.#file.append(
          concatenate(this.#partial, batch),
          batch[0]?.end.seq ?? this.#end.seq,
        );
        if (writtenBytes > 0) this.#isUnsynced = true;
        this.#settle(batch, writtenBytes);
        if (error !== null) throw error;
        this.#recovered();
        await this.#removeExpired();
      }
      await this.#syncIfDue();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** The next lines, as they would follow what is in the file. The chain does not move yet. */
  #seal(): SealedLine[] {
    const { fileBytesMax } = this.#options;
    const room = fileBytesMax - this.#file.bytes;
    // No room although rotation is on: it has failed, and lines go on into the file that is there.
    const bytesMax = this.#file.isRegular && room > 0 ? Math.min(BATCH_BYTES_MAX, room) : BATCH_BYTES_MAX;
    const sealed: SealedLine[] = [];
    let end = this.#end;
    let bytes = 0;
    for (const line of this.#queue) {
      const next = sealLine(end, line.body);
      const lineBytes = Buffer.from(next.text);
      if (sealed.length === BATCH_LINES_MAX || (sealed.length > 0 && bytes + lineBytes.length > bytesMax)) break;
      sealed.push({ line, bytes: lineBytes, end: next.end });
      end = next.end;
      bytes += lineBytes.length;
    }
    return sealed;
  }

  /** Moves the chain by what is in the file now (A1, A2). */
  #settle(batch: readonly SealedLine[], writtenBytes: number): void {
    let left = writtenBytes;
    if (this.#partial !== null) {
      const { rest, begun, line, end } = this.#partial;
      if (left < rest.length) {
        this.#partial = { rest: rest.subarray(left), begun: Buffer.concat([begun, rest.subarray(0, left)]), line, end };
        return;
      }
      left -= rest.length;
      this.#partial = null;
      if (line !== null) this.metrics.linesWritten++;
    }
    let taken = 0;
    for (const { line, bytes, end } of batch) {
      if (left === 0) break;
      taken++;
      if (left < bytes.length) {
        this.#partial = { rest: bytes.subarray(left), begun: bytes.subarray(0, left), line, end: this.#end };
        left = 0;
      } else {
        left -= bytes.length;
        this.metrics.linesWritten++;
      }
      this.#end = end;
    }
    this.#queue.splice(0, taken);
    if (this.#isFull && this.#queue.length <= this.#options.queueLinesMax / 2) this.#isFull = false;
  }

  #fail(error: Error): void {
    this.metrics.writeFailures++;
    const retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
    if (this.#failing !== null) {
      this.#failing.retryAtMs = retryAtMs;
      return;
    }
    this.#failing = { sinceMs: this.#clock.nowMs(), cause: error.message, retryAtMs };
    this.#gap ??= this.#newGap(error.message);
    const { onFailure } = this.#options;
    this.#notice('error', 'the audit log cannot be written', {
      file: this.#file.path,
      cause: error.message,
      auditOnFailure: onFailure,
    });
  }

  #recovered(): void {
    if (this.#failing === null) return;
    const afterMs = this.#clock.nowMs() - this.#failing.sinceMs;
    this.#failing = null;
    this.#notice('warn', 'the audit log can be written again', { file: this.#file.path, afterMs });
  }

  // ---- the file

  /** Is it still the file that the path leads to? If not, the chain goes on in the one that is there now. */
  async #followFile(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const isAsked = this.#isReopenAsked;
    if (!isAsked && nowMs < this.#checkAtMs) return;
    this.#checkAtMs = nowMs + CHECK_MS;
    const change: FileChange | null = await this.#file.change();
    if (change?.kind === 'resized') await this.#sayResized(change);
    if (change?.kind === 'moved') await this.#moveOver(isAsked ? 'asked' : 'the path led elsewhere');
    this.#isReopenAsked = false;
  }

  async #sayResized({ expectedBytes, bytes }: { readonly expectedBytes: number; readonly bytes: number }): Promise<void> {
    this.#queue.unshift(this.#lineOf(OwnEvent.FILE_CHANGED, { expectedBytes, bytes }));
    this.#notice('error', 'somebody else has written to the audit log, or cut it', {
      file: this.#file.path,
      expectedBytes,
      bytes,
    });
    if (this.#partial === null && (await this.#file.lacksLineEnd()))
      this.#partial = { rest: LINE_END, begun: new Uint8Array(0), line: null, end: this.#end };
  }

  async #moveOver(because: string): Promise<void> {
    const partial = this.#partial;
    const end = partial?.end ?? this.#end;
    if (!(await this.#file.reopen(end))) return;
    // What stands at the old file's end is told by the line that comes next, wherever that is.
    const at = this.#queue[0] !== undefined && isOfRegion(this.#queue[0]) ? 1 : 0;
    this.#queue.splice(at, 0, this.#lineOf(OwnEvent.FILE_REOPENED, { because }));
    // The rest of a line is of no use in another file: the line comes again, and before it one that says what the old file ends with.
    this.#partial = null;
    if (partial !== null && partial.line !== null) {
      this.#end = end;
      this.#queue.splice(at + 1, 0, partial.line);
      this.#sayRegion(regionOf(partial.begun));
    }
    this.#notice(because === 'asked' ? 'info' : 'warn', 'audit log reopened', { file: this.#file.path, because });
  }

  async #rotateIfDue(): Promise<void> {
    const { fileBytesMax, filesMax } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    const next = this.#queue[0];
    if (fileBytesMax === 0 || !this.#file.isRegular || this.#file.bytes === 0) return;
    if (next === undefined || isOfRegion(next) || this.#partial !== null || nowMs < this.#rotateAtMs) return;
    if (this.#file.bytes + Buffer.byteLength(sealLine(this.#end, next.body).text) <= fileBytesMax) return;
    try {
      const { previousFile, expired } = await this.#file.rotate(filesMax);
      this.metrics.filesRotated++;
      this.#expired = expired;
      this.#queue.unshift(this.#lineOf(OwnEvent.FILE_ROTATED, { previousFile, removed: expired }));
      this.#tellAnchor(nowMs);
    } catch (error) {
      this.#rotateAtMs = nowMs + ROTATION_RETRY_MS;
      const cause = (error as Error).message;
      this.#notice('error', 'the audit log could not be rotated and goes on in its file', { file: this.#file.path, cause });
    }
  }

  /** After the line that says so. */
  async #removeExpired(): Promise<void> {
    const expired = this.#expired;
    this.#expired = [];
    for (const name of expired) {
      await this.#file.remove(name).catch((error: Error) => {
        this.#notice('error', 'an old file of the audit log could not be removed', { file: name, cause: error.message });
      });
    }
  }

  async #syncIfDue(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#isSyncDue(nowMs)) return;
    this.#syncAtMs = nowMs + this.#options.syncMs;
    this.#isUnsynced = false; // What is written meanwhile is not in it.
    try {
      await this.#file.sync();
    } catch (error) {
      this.#isUnsynced = true;
      throw error;
    }
  }

  /** To the log outside, which goes elsewhere: who rewrites the file and all its hashes would have to rewrite that too. */
  #tellAnchor(nowMs: number): void {
    this.#anchorAtMs = nowMs + ANCHOR_MS;
    this.#notice('info', 'audit log', { file: this.#file.path, seq: this.#end.seq, hash: this.#end.hash });
  }
}

const RESERVED_NAMES: ReadonlySet<string> = new Set(['seq', 'time', 'event', 'prev', 'hash']);

/** It must stand right behind what it tells of. */
function isOfRegion({ event }: QueuedLine): boolean {
  return event === OwnEvent.LINE_TORN || event === OwnEvent.LINE_BROKEN;
}

function concatenate(partial: PartialLine | null, batch: readonly SealedLine[]): Uint8Array {
  const parts = batch.map(({ bytes }) => bytes);
  if (partial !== null) parts.unshift(partial.rest);
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}
