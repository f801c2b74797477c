/**
 * Where the lines go: a file that is only ever appended to, or the standard output.
 *
 * Thread: main; all of it is asynchronous, and the caller (audit-log.ts) does one thing at a time. It knows nothing of events: bytes, names, sizes.
 *
 *   audit.log                  what is written to
 *   audit.log.000000000001     rotated: named by its first line's number, so that names sort as the chain goes
 */

import { write } from 'node:fs';
import { open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type ChainEnd, GENESIS } from './line.ts';
import { chainEndOf, readTail, type TailSource, type TornRegion } from './tail.ts';

/** What is used of an open file; node's FileHandle is one. */
export interface AuditHandle extends TailSource {
  write(bytes: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<FileIdentity & { readonly size: number; isFile(): boolean }>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

/** The file system, so that a test can fill it. */
export interface AuditFileSystem {
  open(path: string, flags: string, mode: number): Promise<AuditHandle>;
  stat(path: string): Promise<FileIdentity & { readonly size: number }>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  readdir(path: string): Promise<string[]>;
}

export const nodeFileSystem: AuditFileSystem = { open, stat, rename, unlink, readdir };

/** Where the chain stands when the file has been opened. */
export interface OpenedAudit {
  readonly end: ChainEnd;
  /** The last line's event; null before the first line. */
  readonly lastEvent: string | null;
  readonly region: TornRegion | null;
  readonly lacksLineEnd: boolean;
}

export interface Appended {
  readonly writtenBytes: number;
  /** What stopped it before the end. */
  readonly error: Error | null;
}

export interface Rotated {
  readonly previousFile: string;
  /** Names of files beyond the number that is kept: `remove` takes them away. */
  readonly expired: readonly string[];
}

/** The path leads elsewhere, or nowhere; or somebody else has written or cut. */
export type FileChange =
  | { readonly kind: 'moved' }
  | { readonly kind: 'resized'; readonly expectedBytes: number; readonly bytes: number };

export const STANDARD_OUTPUT = '-';
const STANDARD_OUTPUT_FD = 1;
/** Readable by the group, for what ships logs; the process's umask may say less. */
const MODE = 0o640;
const SEQ_DIGITS = 12;
/** A pipe that is set not to block and whose reader is behind. */
const AGAIN_MS = 10;

export class AuditFile {
  readonly path: string;
  readonly #fileSystem: AuditFileSystem;
  #handle: AuditHandle | null = null;
  #isRegular = false;
  #firstSeq: number | null = null;
  #bytes = 0;

  constructor(path: string, fileSystem: AuditFileSystem = nodeFileSystem) {
    this.path = path;
    this.#fileSystem = fileSystem;
  }

  /** Of the file that is written to. */
  get bytes(): number {
    return this.#bytes;
  }

  /** False: a stream, which nobody can rotate, check or continue. */
  get isRegular(): boolean {
    return this.#isRegular;
  }

  /** Rejects where it cannot be opened, or is no audit log. */
  async open(): Promise<OpenedAudit> {
    if (this.path === STANDARD_OUTPUT) {
      this.#handle = standardOutput;
      return NEW_CHAIN;
    }
    const handle = await this.#fileSystem.open(this.path, 'a+', MODE);
    try {
      const status = await handle.stat();
      this.#handle = handle;
      this.#isRegular = status.isFile();
      if (!this.#isRegular) return NEW_CHAIN;
      this.#bytes = status.size;
      return await this.#findEnd(handle, status.size);
    } catch (error) {
      this.#handle = null;
      await handle.close();
      throw error;
    }
  }

  /** Never rejects. What was not written is the caller's to write again, from that byte on. */
  async append(bytes: Uint8Array, firstSeq: number): Promise<Appended> {
    this.#firstSeq ??= firstSeq;
    let writtenBytes = 0;
    while (writtenBytes < bytes.length) {
      try {
        const { bytesWritten } = await this.#open.write(bytes, writtenBytes, bytes.length - writtenBytes);
        writtenBytes += bytesWritten;
        this.#bytes += bytesWritten;
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN') return { writtenBytes, error: error as Error };
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    return { writtenBytes, error: null };
  }

  /** What is written survives a power failure. */
  async sync(): Promise<void> {
    if (this.#isRegular) await this.#open.datasync();
  }

  /** Is what is written to still what the path leads to, and as long as it was made? */
  async change(): Promise<FileChange | null> {
    if (!this.#isRegular) return null;
    const own = await this.#open.stat();
    const there = await this.#fileSystem.stat(this.path).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    });
    if (there === null || !isSame(own, there)) return { kind: 'moved' };
    if (own.size === this.#bytes) return null;
    const expectedBytes = this.#bytes;
    this.#bytes = own.size;
    return { kind: 'resized', expectedBytes, bytes: own.size };
  }

  /** After a change by somebody else: must the next line begin with a line end? */
  async lacksLineEnd(): Promise<boolean> {
    if (this.#bytes === 0) return false;
    const last = new Uint8Array(1);
    await this.#open.read(last, 0, 1, this.#bytes - 1);
    return last[0] !== 0x0a;
  }

  /**
   * Opens what the path leads to now, which must be empty or end as the chain does. False: it is the same file. Where that rejects, the old file
   * stays open.
   */
  async reopen(end: ChainEnd): Promise<boolean> {
    if (!this.#isRegular) return false;
    const handle = await this.#fileSystem.open(this.path, 'a+', MODE);
    try {
      const status = await handle.stat();
      if (isSame(status, await this.#open.stat())) {
        await handle.close();
        return false;
      }
      const tail = await readTail(handle, status.size);
      const isEnd = tail !== null && (status.size === 0 || (tail.region === null && chainEndOf(tail).hash === end.hash));
      if (!isEnd) throw new Error(`${this.path} is not empty, and does not end where this chain does`);
      await this.#replaceHandle(handle, status.size, tail.firstSeq);
      return true;
    } catch (error) {
      if (this.#handle !== handle) await handle.close();
      throw error;
    }
  }

  /** Begins a new file. Where that rejects, everything is as before. */
  async rotate(filesMax: number): Promise<Rotated> {
    // A file that has been left is whole, whatever happens now: only the newest can have a torn end.
    await this.sync();
    const next = `${this.path}.next`;
    const handle = await this.#fileSystem.open(next, 'a+', MODE);
    try {
      if ((await handle.stat()).size > 0) throw new Error(`${next} is not empty`);
      const old = await this.#freeName(`${this.path}.${String(this.#firstSeq ?? 0).padStart(SEQ_DIGITS, '0')}`);
      await this.#fileSystem.rename(this.path, old);
      try {
        await this.#fileSystem.rename(next, this.path);
      } catch (error) {
        await this.#fileSystem.rename(old, this.path);
        throw error;
      }
      await this.#replaceHandle(handle, 0, null);
      const rotated = await this.#rotatedFiles();
      return { previousFile: basename(old), expired: filesMax === 0 ? [] : rotated.slice(0, -filesMax) };
    } catch (error) {
      if (this.#handle !== handle) await handle.close();
      throw error;
    }
  }

  /** A name that `rotate` gave out. */
  async remove(name: string): Promise<void> {
    await this.#fileSystem.unlink(join(dirname(this.path), name));
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    if (handle !== standardOutput) await handle?.close();
  }

  get #open(): AuditHandle {
    if (this.#handle === null) throw new Error('the audit log is not open');
    return this.#handle;
  }

  async #findEnd(handle: AuditHandle, size: number): Promise<OpenedAudit> {
    const tail = await readTail(handle, size);
    if (tail === null) throw new Error(`${this.path} is no audit log: nothing in it is a line of one`);
    this.#firstSeq = tail.firstSeq;
    if (tail.last !== null)
      return { end: chainEndOf(tail), lastEvent: tail.last.event, region: tail.region, lacksLineEnd: tail.lacksLineEnd };
    // Nothing whole in it yet: the chain goes on from the file before, if a rotation was the last thing that happened.
    const before = await this.#endOfRotated();
    return { ...before, region: tail.region ?? before.region, lacksLineEnd: tail.lacksLineEnd };
  }

  async #endOfRotated(): Promise<OpenedAudit> {
    const newest = (await this.#rotatedFiles()).at(-1);
    if (newest === undefined) return NEW_CHAIN;
    const path = join(dirname(this.path), newest);
    const handle = await this.#fileSystem.open(path, 'r', MODE);
    try {
      const tail = await readTail(handle, (await handle.stat()).size);
      if (tail === null || tail.last === null) throw new Error(`${path} is no audit log: nothing in it is a line of one`);
      return { end: chainEndOf(tail), lastEvent: tail.last.event, region: tail.region, lacksLineEnd: false };
    } finally {
      await handle.close();
    }
  }

  /** Names, in the order of the chain. */
  async #rotatedFiles(): Promise<string[]> {
    const own = `${basename(this.path)}.`;
    const names = await this.#fileSystem.readdir(dirname(this.path));
    return names.filter((name) => name.startsWith(own) && ROTATED.test(name.slice(own.length))).sort();
  }

  /** Chains that began anew may have used the name: nothing is ever overwritten. */
  async #freeName(wanted: string): Promise<string> {
    for (let copy = 1; ; copy++) {
      const name = copy === 1 ? wanted : `${wanted}-${copy}`;
      try {
        await this.#fileSystem.stat(name);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return name;
        throw error;
      }
    }
  }

  async #replaceHandle(handle: AuditHandle, bytes: number, firstSeq: number | null): Promise<void> {
    const old = this.#handle;
    this.#handle = handle;
    this.#bytes = bytes;
    this.#firstSeq = firstSeq;
    await old?.close();
  }
}

const NEW_CHAIN: OpenedAudit = { end: GENESIS, lastEvent: null, region: null, lacksLineEnd: false };
const ROTATED = /^\d{12}(-\d+)?$/;

const writeToFd = promisify(write);

/** Not process.stdout, which blocks the thread when it is a pipe that nobody reads. */
const standardOutput: AuditHandle = {
  write: (bytes, offset, length) => writeToFd(STANDARD_OUTPUT_FD, bytes, offset, length, null),
  read: () => Promise.resolve({ bytesRead: 0 }),
  stat: () => Promise.resolve({ dev: 0, ino: 0, size: 0, isFile: () => false }),
  datasync: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

function isSame(one: FileIdentity, other: FileIdentity): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}
