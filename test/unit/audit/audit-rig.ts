/** An audit log on real files, with a clock that stands still and a disk that can be filled. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { AuditFile, type AuditFileSystem, type AuditHandle, nodeFileSystem } from '../../../src/audit/audit-file.ts';
import { AuditLog, type AuditLogOptions } from '../../../src/audit/audit-log.ts';
import type { AuditEvent } from '../../../src/audit/events.ts';
import type { AuditLine } from '../../../src/audit/line.ts';
import { type Verified, verifyFiles } from '../../../src/audit/verify.ts';
import { ManualClock } from '../../../src/base/clock.ts';

export const OPTIONS: AuditLogOptions = { onFailure: 'block', queueLinesMax: 1_000, fileBytesMax: 0, filesMax: 0, syncMs: 0 };

/** Bytes that fit before ENOSPC, as a full disk has it: what still fits is written, and then nothing. */
export class Disk implements AuditFileSystem {
  roomBytes = Number.POSITIVE_INFINITY;
  /** Thrown by every sync, rename or open while it is set. */
  syncError: Error | null = null;
  renameError: Error | null = null;
  openError: Error | null = null;
  syncs = 0;
  writes = 0;

  async open(path: string, flags: string, mode: number): Promise<AuditHandle> {
    if (this.openError !== null) throw this.openError;
    const handle = await nodeFileSystem.open(path, flags, mode);
    return {
      write: async (bytes, offset, length) => {
        if (this.roomBytes === 0) throw errorOf('ENOSPC', 'no space left on device');
        this.writes++;
        const { bytesWritten } = await handle.write(bytes, offset, Math.min(length, this.roomBytes));
        this.roomBytes -= bytesWritten;
        return { bytesWritten };
      },
      read: (buffer, offset, length, position) => handle.read(buffer, offset, length, position),
      stat: () => handle.stat(),
      datasync: async () => {
        if (this.syncError !== null) throw this.syncError;
        this.syncs++;
        await handle.datasync();
      },
      close: () => handle.close(),
    };
  }
  stat = nodeFileSystem.stat;
  unlink = nodeFileSystem.unlink;
  readdir = nodeFileSystem.readdir;
  async rename(from: string, to: string): Promise<void> {
    if (this.renameError !== null) throw this.renameError;
    await nodeFileSystem.rename(from, to);
  }
}

export function errorOf(code: string, text: string): Error {
  return Object.assign(new Error(`${code}: ${text}`), { code });
}

export interface Notice {
  readonly level: string;
  readonly text: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export class AuditRig {
  readonly folder: string;
  readonly path: string;
  readonly clock = new ManualClock();
  readonly disk: Disk;
  readonly notices: Notice[] = [];
  readonly log: AuditLog;

  constructor(folder: string, options: Partial<AuditLogOptions> = {}, disk = new Disk()) {
    this.folder = folder;
    this.path = join(folder, 'audit.log');
    this.disk = disk;
    const notice = (level: string, text: string, facts: Readonly<Record<string, unknown>>) =>
      this.notices.push({ level, text, facts });
    this.log = new AuditLog({ ...OPTIONS, ...options }, new AuditFile(this.path, disk), this.clock, notice);
  }

  /** In a new folder, or in the one of an earlier life. */
  static async open(
    t: Test,
    options: Partial<AuditLogOptions> = {},
    folder = t.testdir({}),
    disk = new Disk(),
  ): Promise<AuditRig> {
    const rig = new AuditRig(folder, options, disk);
    await rig.log.open();
    t.teardown(() => rig.log.close());
    return rig;
  }

  /** As many `disconnected` lines, each with its number as its session. */
  record(count: number, from = 1): void {
    for (let session = from; session < from + count; session++) this.log.record({ kind: 'disconnected', session, code: 1_000 });
  }

  /** Time goes by, and everything that can be written is. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    this.log.tick();
    await this.log.flush();
  }

  /** Paths in the order of rotation. */
  get files(): string[] {
    const rotated = readdirSync(this.folder)
      .filter((name) => name.startsWith('audit.log.') && !name.endsWith('.next'))
      .sort();
    return [...rotated, 'audit.log'].map((name) => join(this.folder, name));
  }

  get lines(): AuditLine['facts'][] {
    return this.files.flatMap((path) => linesIn(path));
  }

  get events(): unknown[] {
    return this.lines.map(({ event }) => event);
  }

  verify(anchor: string | null = null): Promise<Verified> {
    return verifyFiles(this.files, anchor);
  }

  said(text: string): Notice | undefined {
    return this.notices.find((notice) => notice.text === text);
  }
}

/** Lines of JSON; what is none is left out. */
export function linesIn(path: string): AuditLine['facts'][] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
}

/** One of each kind, for tests that must see all of them. */
export const EVERY_EVENT: readonly AuditEvent[] = [
  { kind: 'started', version: '0.1.0', node: 'v22', process: 1 },
  { kind: 'configured', settings: { port: { value: 8_080, from: 'default' } } },
  { kind: 'listening', host: '::', port: 8_080, opsHost: '::1', opsPort: 8_081 },
  { kind: 'connected', session: 1, address: '192.0.2.7', origin: 'https://example.org' },
  { kind: 'authenticated', session: 1, subject: 'ada', tokenId: 't1', address: '192.0.2.7' },
  { kind: 'authenticationFailed', session: 2, address: '192.0.2.8', code: 'TOKEN_EXPIRED', reason: 'expired' },
  { kind: 'refreshed', session: 1, subject: 'ada', tokenId: 't2' },
  { kind: 'denied', session: 1, subject: 'ada', right: 'pub', name: 'room.other' },
  { kind: 'revoked', session: 1, subject: 'ada', tokenId: 't2' },
  { kind: 'rateLimited', session: 3, subject: 'eve', address: '192.0.2.9', limit: 'publishes' },
  { kind: 'disconnected', session: 1, code: 4_505 },
  { kind: 'laneLost', lane: 0, cause: 'no heartbeat' },
  { kind: 'laneReplaced', lane: 0, afterMs: 90 },
  { kind: 'adminAction', action: 'revoke', subject: 'opsToken', address: '127.0.0.1', outcome: 'done', details: { of: 'ada' } },
  { kind: 'reloaded', what: 'keys', outcome: 'done', details: { keys: 2 } },
  { kind: 'draining', reason: 'shutdown', connections: 0 },
  { kind: 'stopped' },
];
