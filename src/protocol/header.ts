/**
 * Header reader: `[type, id, key` of a message, without decoding the rest.
 *
 * Any thread. Allocates nothing: the caller owns one MessageHeader and reads it before the next call.
 * Two kinds of fault: what breaks the framing (no telling where the next message begins: the connection ends, 4500)
 * and what is a well-formed value but not a message of the protocol (answered, the connection lives).
 */
import { readUint16, readUint32, skipValue } from './skip.ts';
import { type MessageSpec, SPEC_BY_TYPE } from './types.ts';

export const HeaderFault = {
  NONE: 0,
  /** Not one well-formed MessagePack value; `skipFault` says why. Framing is lost. */
  FRAMING: 1,
  NOT_AN_ARRAY: 2,
  /** First element is no positive fixint or no type of the protocol. */
  UNKNOWN_TYPE: 3,
  WRONG_ARITY: 4,
  BAD_ID: 5,
  /** A routing key is due and there is no string. */
  BAD_KEY: 6,
} as const;

export class MessageHeader {
  type = 0;
  arity = 0;
  /** 0 where none could be read. */
  id = 0;
  /** The key's UTF-8 bytes in the input; equal where the type has no key. */
  keyStart = 0;
  keyEnd = 0;
  /** Offset of the first element after the header. */
  bodyStart = 0;
  /** Offset just past the whole message. */
  end = 0;
  fault = 0;
  skipFault = 0;
}

/** Largest id that survives as a JavaScript number. */
const ID_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Hot. Reads the header of the message at `start`; true if it can be routed. Does not look past `bodyStart`:
 * call `scanMessage` for that. False leaves the reason in `header.fault`.
 */
export function readHeader(bytes: Uint8Array, start: number, end: number, header: MessageHeader): boolean {
  header.fault = HeaderFault.NONE;
  header.type = 0;
  header.arity = 0;
  header.id = 0;
  header.keyStart = 0;
  header.keyEnd = 0;
  let at = start;
  if (at >= end) return fail(header, HeaderFault.FRAMING);
  const first = bytes[at++] as number;
  if (first < 0x90 || first > 0x9f) {
    // array 16/32 with so few elements is legal MessagePack, if wasteful.
    if (first === 0xdc && at + 2 <= end) {
      header.arity = readUint16(bytes, at);
      at += 2;
    } else if (first === 0xdd && at + 4 <= end) {
      header.arity = readUint32(bytes, at);
      at += 4;
    } else return fail(header, HeaderFault.NOT_AN_ARRAY);
  } else header.arity = first & 0x0f;
  if (header.arity === 0 || at >= end) return fail(header, HeaderFault.UNKNOWN_TYPE);
  const type = bytes[at++] as number;
  const spec = type < 128 ? SPEC_BY_TYPE[type] : undefined;
  if (spec === undefined) {
    header.type = type < 128 ? type : 0;
    return fail(header, HeaderFault.UNKNOWN_TYPE);
  }
  header.type = type;
  if (spec.hasId) {
    if (at >= end) return fail(header, HeaderFault.BAD_ID);
    const idByte = bytes[at] as number;
    if (idByte <= 0x7f) {
      header.id = idByte;
      at++;
    } else {
      at = readId(bytes, at, end, header);
      if (at < 0) return fail(header, HeaderFault.BAD_ID);
    }
  }
  if (header.arity !== spec.arity) return fail(header, HeaderFault.WRONG_ARITY);
  if (spec.key !== 'none') {
    if (at >= end) return fail(header, HeaderFault.BAD_KEY);
    const keyByte = bytes[at] as number;
    let keyBytes: number;
    if (keyByte >= 0xa0 && keyByte <= 0xbf) {
      keyBytes = keyByte & 0x1f;
      at++;
    } else if (keyByte === 0xd9 && at + 2 <= end) {
      keyBytes = bytes[at + 1] as number;
      at += 2;
    } else if (keyByte === 0xda && at + 3 <= end) {
      keyBytes = readUint16(bytes, at + 1);
      at += 3;
    } else return fail(header, HeaderFault.BAD_KEY);
    header.keyStart = at;
    at += keyBytes;
    if (at > end) return fail(header, HeaderFault.BAD_KEY);
    header.keyEnd = at;
  }
  header.bodyStart = at;
  return true;
}

/**
 * Hot. readHeader, then proves that the whole message is well formed and finds its `end`.
 * False with fault FRAMING: nothing after `start` can be trusted. False with another fault: `end` is set, the next message may be read.
 */
export function scanMessage(bytes: Uint8Array, start: number, end: number, header: MessageHeader): boolean {
  if (!readHeader(bytes, start, end, header)) {
    const fault = header.fault;
    const messageEnd = skipValue(bytes, start, end);
    if (messageEnd < 0) return failFraming(header, messageEnd);
    header.fault = fault;
    header.end = messageEnd;
    return false;
  }
  const spec = SPEC_BY_TYPE[header.type] as MessageSpec;
  let at = header.bodyStart;
  for (let element = spec.headElements; element < header.arity; element++) {
    at = skipValue(bytes, at, end);
    if (at < 0) return failFraming(header, at);
  }
  header.end = at;
  return true;
}

/** Reads an unsigned int that is no positive fixint; the new offset, or -1. */
function readId(bytes: Uint8Array, at: number, end: number, header: MessageHeader): number {
  switch (bytes[at]) {
    case 0xcc:
      if (at + 2 > end) return -1;
      header.id = bytes[at + 1] as number;
      return at + 2;
    case 0xcd:
      if (at + 3 > end) return -1;
      header.id = readUint16(bytes, at + 1);
      return at + 3;
    case 0xce:
      if (at + 5 > end) return -1;
      header.id = readUint32(bytes, at + 1);
      return at + 5;
    case 0xcf: {
      if (at + 9 > end) return -1;
      const id = readUint32(bytes, at + 1) * 0x1_0000_0000 + readUint32(bytes, at + 5);
      if (id > ID_MAX) return -1;
      header.id = id;
      return at + 9;
    }
    default:
      return -1;
  }
}

function fail(header: MessageHeader, fault: number): false {
  header.fault = fault;
  return false;
}

function failFraming(header: MessageHeader, skipFault: number): false {
  header.fault = HeaderFault.FRAMING;
  header.skipFault = skipFault;
  return false;
}

/** What to tell the sender; the text of a BAD_REQUEST or of a 4500 close. */
export function describeHeaderFault(header: MessageHeader): string {
  const spec = SPEC_BY_TYPE[header.type];
  switch (header.fault) {
    case HeaderFault.NOT_AN_ARRAY:
      return 'a message must be a MessagePack array';
    case HeaderFault.UNKNOWN_TYPE:
      return header.type === 0
        ? 'the first element must be a message type (positive fixint)'
        : `unknown message type ${header.type}`;
    case HeaderFault.WRONG_ARITY:
      return `${spec?.name} has ${spec?.arity} elements, got ${header.arity}`;
    case HeaderFault.BAD_ID:
      return `${spec?.name}: id must be an unsigned integer below 2^53`;
    case HeaderFault.BAD_KEY:
      return `${spec?.name}: the ${spec?.key} must be a string`;
    default:
      return 'malformed message';
  }
}
