/** Raw: the room is in the URL, a message is a payload and nothing else. Plain uWebSockets.js, `ws` and Bun are measured so. */
import { type PublishTemplate, rawPublishTemplate } from '../frames.ts';
import { type PeerCodec, type PeerSink, withRoom } from './codec.ts';

export class RawCodec implements PeerCodec {
  readonly takesText = false;
  readonly #sink: PeerSink;

  constructor(sink: PeerSink) {
    this.#sink = sink;
  }

  pathOf(path: string, room: string): string {
    return withRoom(path, room);
  }

  opened(): null {
    return null;
  }

  publishTemplate(_roomBytes: number, payloadBytes: number, runId: number): PublishTemplate {
    return rawPublishTemplate(payloadBytes, runId);
  }

  read(tag: number, bytes: Uint8Array, start: number, end: number): void {
    this.#sink.payload(tag, bytes, start, end - start);
  }
}
