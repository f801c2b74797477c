/**
 * The file that revocations outlive a restart in.
 *
 * Thread: main. Always whole: written beside its place, brought to the disk, and then moved there. One write at a time; what changes meanwhile is in the next.
 */
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isMap } from '../base/is-map.ts';
import type { Revocation, Revocations } from './revocations.ts';

const VERSION = 1;

/** Fills `revocations` from the file's text. Throws in words for the operator; a relay must not start without what it was told to refuse. */
export function readRevocations(text: string, revocations: Revocations): void {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error('is no JSON');
  }
  if (!isMap(content) || content['version'] !== VERSION) throw new Error(`is no list of revocations of version ${VERSION}`);
  revocations.restore(content['revocations']);
}

export class RevocationFile {
  readonly #path: string;
  readonly #list: () => readonly Revocation[];
  /** The last write that was asked for, whatever became of it. */
  #last: Promise<void> = Promise.resolve();
  /** One that has not begun. */
  #next: Promise<void> | null = null;

  constructor(path: string, list: () => readonly Revocation[]) {
    this.#path = path;
    this.#list = list;
  }

  /** Resolves when what is in the list now is on the disk. */
  save(): Promise<void> {
    // All who come during a write wait for the same next one.
    this.#next ??= this.#last.then(() => {
      this.#next = null;
      return this.#write();
    });
    const next = this.#next;
    this.#last = next.catch(() => {});
    return next;
  }

  async #write(): Promise<void> {
    const text = `${JSON.stringify({ version: VERSION, revocations: this.#list() }, null, 1)}\n`;
    const unfinished = `${this.#path}.new`;
    const file = await open(unfinished, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, this.#path);
    // The name is the folder's: without this a power failure could bring the old file back.
    const folder = await open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
