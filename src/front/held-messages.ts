/**
 * Messages of a session that wait until something about it is decided: whether its token is good, whether it may subscribe. In order, bounded.
 *
 * Thread: front only. Copies, since a transport's bytes are gone when its call returns.
 */
export class HeldMessages {
  readonly #chunks: Uint8Array[] = [];
  bytes = 0;

  add(bytes: Uint8Array): void {
    this.#chunks.push(bytes.slice());
    this.bytes += bytes.length;
  }

  /** Behind what is decided now, before what comes later. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }
}
