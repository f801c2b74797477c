/**
 * Reads topic, offset and meta of an encoded MESSAGE: for the slow path, where a message must wait and may be dropped.
 *
 * Any thread. The frame is the relay's own, so it is well formed.
 */
import { unpack } from './codec.ts';
import { readUint16, readUint32, skipValue } from './skip.ts';

export interface MessageHead {
  /** '' on an exact subscription. */
  readonly topic: string;
  readonly offset: number;
  /** Start of meta in the frame. */
  readonly metaStart: number;
}

const NIL = 0xc0;
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export function readMessageHead(frame: Uint8Array): MessageHead {
  const topicStart = skipValue(frame, 2, frame.length); // After array head and type comes the sub.
  const offsetStart = skipValue(frame, topicStart, frame.length);
  const metaStart = skipValue(frame, offsetStart, frame.length);
  const prefixBytes = frame[topicStart] === 0xd9 ? 2 : 1;
  const topic = frame[topicStart] === NIL ? '' : TEXT.decode(frame.slice(topicStart + prefixBytes, offsetStart));
  return { topic, offset: readUint(frame, offsetStart), metaStart };
}

/** The value of a header in a MESSAGE's meta, or '' without it. */
export function readMessageHeader(frame: Uint8Array, metaStart: number, name: string): string {
  if (frame[metaStart] === NIL) return '';
  const meta = unpack(frame.subarray(metaStart, skipValue(frame, metaStart, frame.length))) as {
    headers?: Record<string, string>;
  };
  return meta.headers?.[name] ?? '';
}

function readUint(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  switch (first) {
    case 0xcc:
      return bytes[at + 1] as number;
    case 0xcd:
      return readUint16(bytes, at + 1);
    case 0xce:
      return readUint32(bytes, at + 1);
    case 0xcf:
      return readUint32(bytes, at + 1) * 0x1_0000_0000 + readUint32(bytes, at + 5);
    default:
      return first;
  }
}
