/**
 * Skip-scan: finds the end of one MessagePack value without decoding it, which proves that it is well formed.
 *
 * Any thread, browsers too. Allocates nothing and never throws: the answer is an offset or a fault below zero.
 * What it proves: every length stays inside the input and every byte that must be a type byte is one.
 * What it does not: that text is UTF-8, that map keys are unique or that extension types mean anything.
 */

/** The value runs past the end of the input. */
export const SKIP_TRUNCATED = -1;
/** A type byte that MessagePack reserves (0xc1). */
export const SKIP_RESERVED = -2;
/** Arrays and maps nested deeper than DEPTH_MAX: decoders on the other side would overflow their stack. */
export const SKIP_TOO_DEEP = -3;

export const DEPTH_MAX = 64;

/** -1: the only extension type that MessagePack itself defines. */
const TIMESTAMP_TYPE = 0xff;

/** Remaining element counts of the open containers. One per thread: a scan never yields. Pure, so that the SDK's build leaves it out. */
const remaining = /* @__PURE__ */ new Float64Array(DEPTH_MAX + 1);

/** Hot. Offset just past the value that begins at `start`, or a SKIP_ fault. */
export function skipValue(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  let depth = 0;
  // `pending` counts values still to read in the innermost open container; the outermost "container" is the one value asked for.
  let pending = 1;
  for (;;) {
    while (pending === 0) {
      if (depth === 0) return at;
      pending = remaining[--depth] as number;
    }
    if (at >= end) return SKIP_TRUNCATED;
    pending--;
    const type = bytes[at++] as number;
    let children = 0;
    if (type <= 0x7f || type >= 0xe0) continue; // fixint
    if (type <= 0x8f) children = (type & 0x0f) * 2;
    else if (type <= 0x9f) children = type & 0x0f;
    else if (type <= 0xbf) at += type & 0x1f;
    else {
      switch (type) {
        case 0xc0: // nil
        case 0xc2: // false
        case 0xc3: // true
          break;
        case 0xc1:
          return SKIP_RESERVED;
        case 0xc4: // bin 8
        case 0xd9: // str 8
          if (at + 1 > end) return SKIP_TRUNCATED;
          at += 1 + (bytes[at] as number);
          break;
        case 0xc5: // bin 16
        case 0xda: // str 16
          if (at + 2 > end) return SKIP_TRUNCATED;
          at += 2 + readUint16(bytes, at);
          break;
        case 0xc6: // bin 32
        case 0xdb: // str 32
          if (at + 4 > end) return SKIP_TRUNCATED;
          at += 4 + readUint32(bytes, at);
          break;
        case 0xc7: // ext 8
          if (at + 1 > end) return SKIP_TRUNCATED;
          at += 2 + (bytes[at] as number);
          break;
        case 0xc8: // ext 16
          if (at + 2 > end) return SKIP_TRUNCATED;
          at += 3 + readUint16(bytes, at);
          break;
        case 0xc9: // ext 32
          if (at + 4 > end) return SKIP_TRUNCATED;
          at += 5 + readUint32(bytes, at);
          break;
        case 0xca: // float 32
        case 0xce: // uint 32
        case 0xd2: // int 32
          at += 4;
          break;
        case 0xcb: // float 64
        case 0xcf: // uint 64
        case 0xd3: // int 64
          at += 8;
          break;
        case 0xcc: // uint 8
        case 0xd0: // int 8
          at += 1;
          break;
        case 0xcd: // uint 16
        case 0xd1: // int 16
          at += 2;
          break;
        case 0xd4: // fixext 1, 2, 4, 8, 16
        case 0xd5:
        case 0xd6:
        case 0xd7:
        case 0xd8:
          at += 1 + (1 << (type - 0xd4));
          break;
        case 0xdc: // array 16
          if (at + 2 > end) return SKIP_TRUNCATED;
          children = readUint16(bytes, at);
          at += 2;
          break;
        case 0xdd: // array 32
          if (at + 4 > end) return SKIP_TRUNCATED;
          children = readUint32(bytes, at);
          at += 4;
          break;
        case 0xde: // map 16
          if (at + 2 > end) return SKIP_TRUNCATED;
          children = readUint16(bytes, at) * 2;
          at += 2;
          break;
        case 0xdf: // map 32
          if (at + 4 > end) return SKIP_TRUNCATED;
          children = readUint32(bytes, at) * 2;
          at += 4;
          break;
      }
    }
    if (at > end) return SKIP_TRUNCATED;
    if (children > 0) {
      // Each child takes a byte at least: a count that cannot fit is refused before it is walked.
      if (children > end - at) return SKIP_TRUNCATED;
      if (depth === DEPTH_MAX) return SKIP_TOO_DEEP;
      remaining[depth++] = pending;
      pending = children;
    }
  }
}

/** Does an extension type other than the time stamp stand anywhere in `bytes[start, end)`, which is proven well formed? */
export function hasExtension(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const type = bytes[at] as number;
    if (type >= 0x80 && type <= 0x9f)
      at++; // Containers by their head alone: their elements come next.
    else if (type === 0xdc || type === 0xde) at += 3;
    else if (type === 0xdd || type === 0xdf) at += 5;
    else {
      const typeAt = type >= 0xd4 && type <= 0xd8 ? at + 1 : type >= 0xc7 && type <= 0xc9 ? at + 1 + (1 << (type - 0xc7)) : -1;
      if (typeAt >= 0 && bytes[typeAt] !== TIMESTAMP_TYPE) return true;
      at = skipValue(bytes, at, end);
    }
  }
  return false;
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export function describeSkipFault(fault: number): string {
  switch (fault) {
    case SKIP_TRUNCATED:
      return 'a MessagePack value runs past the end of the message';
    case SKIP_RESERVED:
      return 'the reserved MessagePack byte 0xc1';
    case SKIP_TOO_DEEP:
      return `MessagePack nested deeper than ${DEPTH_MAX}`;
    default:
      return `MessagePack fault ${fault}`;
  }
}
