/** The interval log's file: appended to, and given up for good when it cannot be written. Thread: main. */
import { createWriteStream, type WriteStream } from 'node:fs';

export class LatencyLogFile {
  readonly #path: string;
  readonly #stream: WriteStream;
  #isBroken = false;

  constructor(path: string, onFailure?: (path: string, error: Error) => void) {
    this.#path = path;
    this.#stream = createWriteStream(path, { flags: 'a' });
    this.#stream.on('error', (error) => {
      if (!this.#isBroken) onFailure?.(this.#path, error);
      this.#isBroken = true;
    });
  }

  write(line: string): void {
    if (!this.#isBroken) this.#stream.write(line);
  }

  /** What was written is in the file. */
  close(): Promise<void> {
    if (this.#isBroken) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.once('error', () => resolve());
      this.#stream.end(resolve);
    });
  }
}
