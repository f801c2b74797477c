/** FNV-1a over bytes, 32 bit, with a final mix: names differ in their last characters, lanes are few. Which lane owns a name depends on it. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ (bytes[index] as number), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** A number in [0, 1) for each whole number; any run of numbers is spread evenly (multiples of the golden ratio, modulo 1). */
export function spread(number: number): number {
  return (number * 0.618_033_988_75) % 1;
}
