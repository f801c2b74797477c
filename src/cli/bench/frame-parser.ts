/**
 * Frame parser: server-to-client WebSocket frames out of chunks that break anywhere.
 *
 * One per socket, pure (no socket, no clock). Frames that lie whole in a chunk are handed on where they lie, without a copy; only what
 * a chunk border cuts is carried over. `bytes` given to the sink are valid during the call only.
 * Strict where a lenient reader would hide a server's bug: masked frames, reserved bits, long or cut control frames, stray continuations.
 */
import { readUint16, readUint32 } from '../../protocol/skip.ts';

export interface FrameSink {
  /** One whole message, fragments joined. */
  frameMessage(bytes: Uint8Array, start: number, end: number, isText: boolean): void;
  framePing(bytes: Uint8Array, start: number, end: number): void;
  /** `code` is 1005 where the frame had none. Nothing is parsed after it. */
  frameClose(code: number, reason: string): void;
  /** The peer broke RFC 6455. Nothing is parsed after it. */
  frameFault(text: string): void;
}

const OPCODE_CONTINUATION = 0x0;
const OPCODE_TEXT = 0x1;
const OPCODE_BINARY = 0x2;
const OPCODE_CLOSE = 0x8;
const OPCODE_PING = 0x9;
const OPCODE_PONG = 0xa;

/** Stands for a close frame without a code; never sent. */
export const CODE_ABSENT = 1005;
const CONTROL_BYTES_MAX = 125;
/** Above any frame a bench asks for; a length over it is a framing error, not a reason to allocate. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;

const EMPTY = new Uint8Array(0);

export class FrameParser {
  readonly #sink: FrameSink;
  /** Start of a frame whose rest has not come yet; `EMPTY` in the usual case, so an idle socket holds no buffer. */
  #carry: Uint8Array = EMPTY;
  #carryBytes = 0;
  /** Bytes that the carried frame needs before parsing it again can get anywhere. */
  #needBytes = 0;
  /** Fragments of one message so far, in `#carry`'s manner. */
  #fragments: Uint8Array = EMPTY;
  #fragmentOpcode = -1;
  #isStopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** No more calls to the sink, from inside one of them too. */
  stop(): void {
    this.#isStopped = true;
    this.#carry = EMPTY;
    this.#carryBytes = 0;
    this.#fragments = EMPTY;
  }

  /** Hot. `chunk[start, end)` is what the socket just read. */
  push(chunk: Uint8Array, start: number, end: number): void {
    if (this.#carryBytes !== 0) {
      this.#pushCarried(chunk, start, end);
      return;
    }
    const consumedAt = this.#parse(chunk, start, end);
    if (consumedAt < end && !this.#isStopped) this.#keep(chunk, consumedAt, end);
  }

  #pushCarried(chunk: Uint8Array, start: number, end: number): void {
    this.#keep(chunk, start, end);
    if (this.#carryBytes < this.#needBytes) return;
    const carry = this.#carry;
    const carryBytes = this.#carryBytes;
    // Given up before parsing: a sink that stops the parser, or a next frame to carry, finds a clean slate.
    this.#carry = EMPTY;
    this.#carryBytes = 0;
    const consumedAt = this.#parse(carry, 0, carryBytes);
    if (consumedAt < carryBytes && !this.#isStopped) this.#keep(carry, consumedAt, carryBytes);
  }

  #keep(source: Uint8Array, start: number, end: number): void {
    const bytes = this.#carryBytes + end - start;
    if (bytes > this.#carry.length) {
      // Room for the whole frame at once: a large one comes in many chunks.
      const larger = new Uint8Array(Math.max(bytes, this.#needBytes, 256));
      larger.set(this.#carry.subarray(0, this.#carryBytes));
      this.#carry = larger;
    }
    this.#carry.set(source.subarray(start, end), this.#carryBytes);
    this.#carryBytes = bytes;
  }

  /** Hot. Parses whole frames; where the first byte of what is left stands. */
  #parse(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (!this.#isStopped) {
      const availableBytes = end - at;
      if (availableBytes < 2) return this.#wait(at, 2);
      const second = bytes[at + 1] as number;
      let headBytes = 2;
      let bodyBytes = second;
      if (second === 126) {
        headBytes = 4;
        if (availableBytes < 4) return this.#wait(at, 4);
        bodyBytes = readUint16(bytes, at + 2);
      } else if (second === 127) {
        headBytes = 10;
        if (availableBytes < 10) return this.#wait(at, 10);
        bodyBytes = readUint32(bytes, at + 2) === 0 ? readUint32(bytes, at + 6) : Number.POSITIVE_INFINITY;
        if (bodyBytes > FRAME_BYTES_MAX) return this.#fault(at, `a frame longer than ${FRAME_BYTES_MAX} bytes`);
      } else if (second > 127) return this.#fault(at, 'a masked frame from a server');
      const frameBytes = headBytes + bodyBytes;
      if (availableBytes < frameBytes) return this.#wait(at, frameBytes);
      const bodyAt = at + headBytes;
      at += frameBytes;
      const first = bytes[at - frameBytes] as number;
      // 0x82: binary, whole, no extension. Nearly every frame there is.
      if (first === 0x82 && this.#fragmentOpcode < 0) this.#sink.frameMessage(bytes, bodyAt, at, false);
      else if (!this.#takeUnusual(first, bytes, bodyAt, at)) return at;
    }
    return at;
  }

  #wait(at: number, frameBytes: number): number {
    this.#needBytes = frameBytes;
    return at;
  }

  #fault(at: number, text: string): number {
    this.stop();
    this.#sink.frameFault(text);
    return at;
  }

  /** Text, fragments and control frames. False: parsing is over. */
  #takeUnusual(first: number, bytes: Uint8Array, bodyAt: number, bodyEnd: number): boolean {
    if ((first & 0x70) !== 0) return this.#refuse('a frame with reserved bits set');
    const isFinal = (first & 0x80) !== 0;
    const opcode = first & 0x0f;
    if (opcode >= OPCODE_CLOSE) {
      if (!isFinal) return this.#refuse('a fragmented control frame');
      if (bodyEnd - bodyAt > CONTROL_BYTES_MAX) return this.#refuse('a control frame over 125 bytes');
      return this.#takeControl(opcode, bytes, bodyAt, bodyEnd);
    }
    if (opcode === OPCODE_CONTINUATION) {
      if (this.#fragmentOpcode < 0) return this.#refuse('a continuation without a beginning');
    } else if (opcode !== OPCODE_TEXT && opcode !== OPCODE_BINARY) return this.#refuse(`a frame with opcode ${opcode}`);
    else if (this.#fragmentOpcode >= 0) return this.#refuse('a new message inside a fragmented one');
    else if (isFinal) {
      this.#sink.frameMessage(bytes, bodyAt, bodyEnd, opcode === OPCODE_TEXT);
      return true;
    } else this.#fragmentOpcode = opcode;

    const joined = new Uint8Array(this.#fragments.length + bodyEnd - bodyAt);
    if (joined.length > FRAME_BYTES_MAX) return this.#refuse(`a message longer than ${FRAME_BYTES_MAX} bytes`);
    joined.set(this.#fragments);
    joined.set(bytes.subarray(bodyAt, bodyEnd), this.#fragments.length);
    if (isFinal) {
      const isText = this.#fragmentOpcode === OPCODE_TEXT;
      this.#fragments = EMPTY;
      this.#fragmentOpcode = -1;
      this.#sink.frameMessage(joined, 0, joined.length, isText);
    } else this.#fragments = joined;
    return true;
  }

  #takeControl(opcode: number, bytes: Uint8Array, bodyAt: number, bodyEnd: number): boolean {
    switch (opcode) {
      case OPCODE_PING:
        this.#sink.framePing(bytes, bodyAt, bodyEnd);
        return true;
      case OPCODE_PONG:
        return true;
      case OPCODE_CLOSE: {
        if (bodyEnd - bodyAt === 1) return this.#refuse('a close frame with half a code');
        const code = bodyEnd > bodyAt ? readUint16(bytes, bodyAt) : CODE_ABSENT;
        const reason = bodyEnd > bodyAt + 2 ? new TextDecoder().decode(bytes.subarray(bodyAt + 2, bodyEnd)) : '';
        this.stop();
        this.#sink.frameClose(code, reason);
        return false;
      }
      default:
        return this.#refuse(`a frame with opcode ${opcode}`);
    }
  }

  #refuse(text: string): false {
    this.#fault(0, text);
    return false;
  }
}
