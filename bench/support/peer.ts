/**
 * Peer: one connection of a generator that is more than a number in a crowd: it asks and waits while things are set up, and is told of every
 * message at full speed while they are measured.
 *
 * Frames to one peer that are made in one turn go out in one write, as a careful client would do it: each is still a WebSocket message of its own.
 */
import { helloFrame, frame as packFrame } from '../../src/cli/bench/frames.ts';
import { RawWebSocket, type SocketHandler, type SocketTarget } from '../../src/cli/bench/raw-websocket.ts';
import { packMessage, unpack } from '../../src/protocol/codec.ts';
import { MessageHeader, scanMessage } from '../../src/protocol/header.ts';
import { MessageType, type MessageTypeName } from '../../src/protocol/types.ts';

/** Ids of what is asked; what is measured counts up from PUBLISH_ID_FIRST, far above. */
const ASK_ID_FIRST = 2;
const HELLO_ID = 1;
const OUTBOX_BYTES = 64 * 1024;

export interface PeerEvents {
  /** Hot. `header` has been read from `bytes[start, header.end)` and is only valid during the call, as are the bytes. */
  peerMessage(peer: Peer, header: MessageHeader, bytes: Uint8Array, start: number): void;
  /** After the last message of what came together: the moment to `flush`. */
  peerTurnEnd(): void;
  /** The relay ended it. Not called for a peer that left. */
  peerClosed(peer: Peer, code: number, reason: string): void;
}

interface Asked {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Peer implements SocketHandler {
  readonly name: string;
  readonly #events: PeerEvents;
  readonly #socket: RawWebSocket;
  readonly #header = new MessageHeader();
  readonly #asked = new Map<number, Asked>();
  #nextAskId = ASK_ID_FIRST;
  #outbox: Uint8Array = new Uint8Array(OUTBOX_BYTES);
  #outboxBytes = 0;

  private constructor(name: string, target: SocketTarget, events: PeerEvents, welcomed: Asked) {
    this.name = name;
    this.#events = events;
    this.#asked.set(HELLO_ID, welcomed);
    this.#socket = new RawWebSocket(0, target, this);
  }

  /** Resolves when its HELLO is answered. */
  static connect(name: string, target: SocketTarget, events: PeerEvents): Promise<Peer> {
    return new Promise((resolve, reject) => {
      const peer: Peer = new Peer(name, target, events, { resolve: () => resolve(peer), reject });
    });
  }

  /** Cold. A command and its answer; rejects with the relay's words where that is an error. */
  ask(type: MessageTypeName, ...rest: readonly unknown[]): Promise<unknown> {
    const id = this.#nextAskId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#asked.set(id, { resolve, reject });
    this.add(packFrame(packMessage(MessageType[type], id, ...rest)));
    this.flush();
    return promise;
  }

  /** Hot. Takes a copy of a whole frame; it leaves with the next `flush`. */
  add(frame: Uint8Array): void {
    if (this.#outboxBytes + frame.length > this.#outbox.length) {
      this.flush();
      if (frame.length > this.#outbox.length) this.#outbox = new Uint8Array(frame.length);
    }
    this.#outbox.set(frame, this.#outboxBytes);
    this.#outboxBytes += frame.length;
  }

  /** Hot. */
  flush(): void {
    if (this.#outboxBytes === 0) return;
    // The kernel did not take all of it: the rest is read from this buffer later, so what follows needs another one.
    if (!this.#socket.send(this.#outbox.subarray(0, this.#outboxBytes))) this.#outbox = new Uint8Array(OUTBOX_BYTES);
    this.#outboxBytes = 0;
  }

  close(): void {
    this.#socket.destroy();
  }

  socketOpened(socket: RawWebSocket): void {
    socket.send(helloFrame());
  }

  /** Hot. */
  socketMessage(_socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    const header = this.#header;
    for (let at = start; at < end; at = header.end) {
      if (!scanMessage(bytes, at, end, header))
        throw new Error(`${this.name}: the relay sent what is no message of the protocol`);
      if (this.#asked.size > 0 && this.#isAnswer(header, bytes, at)) continue;
      this.#events.peerMessage(this, header, bytes, at);
    }
    this.#events.peerTurnEnd();
  }

  socketClosed(_socket: RawWebSocket, code: number, reason: string): void {
    for (const { reject } of this.#asked.values()) reject(new Error(`${this.name}: closed with ${code} ${reason}`));
    this.#events.peerClosed(this, code, reason);
  }

  #isAnswer({ type, id, end }: MessageHeader, bytes: Uint8Array, start: number): boolean {
    if (type !== MessageType.OK && type !== MessageType.ERROR) return false;
    const asked = this.#asked.get(id);
    if (asked === undefined) return false;
    this.#asked.delete(id);
    const message = unpack(bytes.slice(start, end)) as readonly unknown[];
    if (type === MessageType.OK) asked.resolve(message[2]);
    else asked.reject(new Error(`${this.name}: the relay refused: ${message[2]} ${message[3]}`));
    return true;
  }
}
