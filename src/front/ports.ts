/**
 * What the front needs from a transport. Declared here, implemented in transport/, joined in app/. (Its lanes: protocol/lane-port.ts.)
 */

/** Result of `Connection.send`. */
export const SendResult = {
  /** The kernel has it. */
  WRITTEN: 1,
  /** It waits in the transport's buffer; `onDrain` follows. */
  QUEUED: 0,
  /** It was thrown away. The front keeps far enough below the transport's limit that this means a broken connection. */
  DROPPED: 2,
} as const;

/** One client's connection. Calls after it has closed do nothing. */
export interface Connection {
  readonly remoteAddress: string;
  /** One binary WebSocket message. `frame` may be shared memory and is reused after the call: copy what is kept. */
  send(frame: Uint8Array): number;
  ping(): void;
  /** Bytes in the transport's buffer. */
  bufferedBytes(): number;
  /** Closing handshake after what is buffered. */
  close(code: number, reason: string): void;
  /** At once, whatever is buffered. */
  terminate(): void;
}
