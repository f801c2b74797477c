import type { Prng } from './prng.ts';

/** No vowels and no look-alikes: ids are read aloud at night. 32 symbols, 5 bits each. */
const ALPHABET = '0123456789bcdfghjkmnpqrstvwxyz_-';

/** `length` symbols of 5 bits each from a seeded source: epochs. */
export function seededId(prng: Prng, length: number): string {
  let id = '';
  for (let index = 0; index < length; index++) id += ALPHABET[prng.nextUint32() >>> 27];
  return id;
}

/** `length` symbols from the platform's secure source: session ids, idempotency keys. Runs in browsers too. */
export function randomId(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  let id = '';
  for (const byte of bytes) id += ALPHABET[byte & 31];
  return id;
}
