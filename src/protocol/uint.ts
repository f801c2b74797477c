/**
 * Unsigned integers in their shortest MessagePack form. Apart from encode.ts, whose tables are the relay's: the SDK's build carries only this.
 */

/** Hot. An unsigned integer up to 2^53 - 1. */
export function writeUint(target: Uint8Array, at: number, value: number): number {
  if (value < 0x80) {
    target[at] = value;
    return at + 1;
  }
  if (value < 0x100) {
    target[at] = 0xcc;
    target[at + 1] = value;
    return at + 2;
  }
  if (value < 0x1_0000) {
    target[at] = 0xcd;
    target[at + 1] = value >>> 8;
    target[at + 2] = value;
    return at + 3;
  }
  if (value < 0x1_0000_0000) {
    target[at] = 0xce;
    return writeWord(target, at + 1, value);
  }
  target[at] = 0xcf;
  writeWord(target, at + 1, Math.floor(value / 0x1_0000_0000));
  return writeWord(target, at + 5, value >>> 0);
}

function writeWord(target: Uint8Array, at: number, value: number): number {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
  return at + 4;
}
