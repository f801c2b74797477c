/**
 * Inputs for the fuzzers: golden frames that are bent, commands that are nearly right, and noise. Everything comes from one seed.
 */
import { Prng } from '../../src/base/prng.ts';
import { pack } from '../../src/protocol/codec.ts';
import { MESSAGE_SPECS, MessageType } from '../../src/protocol/types.ts';
import { frameBytes, GOLDEN_FRAMES } from '../../test/fixtures/frames/index.ts';

const CORPUS: readonly Uint8Array[] = GOLDEN_FRAMES.map(frameBytes);
const INPUT_BYTES_MAX = 70_000;

/** Bytes that decide something: type bytes at the edges of their ranges, and those that decoders treat apart. */
const TURNING_BYTES = [
  0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcf,
  0xd3, 0xd4, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff,
];

/** Whole values that have made decoders stumble: huge lengths, extension types with meanings of their own, numbers at their edges. */
const SNIPPETS: readonly (readonly number[])[] = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0x80, 0x00, 0x00, 0x00],
  [0xdb, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0x7f, 0xff, 0xff, 0xff],
  [0xc9, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xde, 0xff, 0xff],
  [0xcf, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xd3, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0xcb, 0x7f, 0xf8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0xd4, 0x42, 0xff],
  [0xc7, 0x09, 0x74, 0x09, 0, 0, 0, 0, 0, 0, 0, 0],
  [0xd6, 0x69, 0, 0, 0, 1],
  [0xd6, 0x70, 0, 0, 0, 1],
  [0xd4, 0x72, 0x41],
  [0xd4, 0x73, 0x00, 0x91, 0x01],
  [0xd4, 0x78, 0x00, 0x92, 0xa1, 0x61, 0xa1, 0x67],
  [0xd6, 0x62, 0, 0, 0, 4, 0x01],
  [0xd6, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xa9, ...new TextEncoder().encode('__proto__')],
  [0xa3, 0xef, 0xbb, 0xbf],
  [0xa4, 0xf0, 0x9f, 0x98, 0x80],
  [0xa3, 0xed, 0xa0, 0x80],
];

/** Few names, so that commands meet: what one publishes another has subscribed to. */
const NAMES = [
  'a',
  'a.b',
  'a.b.c',
  'room.lobby',
  'plain.a',
  'tiny.a',
  'paused.a',
  '$service.x',
  'küche',
  'x'.repeat(64),
  '\ufeffa',
  'a..b',
  '',
  'a b',
];
const PATTERNS = ['*', '>', 'a.*', 'a.>', '*.b', '$service.>', 'a*', '>.a', '\ufeff>'];
const OPTION_KEYS = [
  'key',
  'headers',
  'ttlMs',
  'echo',
  'since',
  'last',
  'presence',
  'policy',
  'conflateBy',
  'limit',
  'reverse',
  'countOnly',
  'client',
  'version',
  'token',
  'features',
  'epoch',
  'offset',
  'toString',
  '__proto__',
  'other',
];
/** Names that objects have by nature, which code may trip over. */
const MAP_KEYS = ['a', 'constructor', 'toJSON', '__proto__', 'toString', 'valueOf', 'length', 'then', 'data'];
const WORDS = [
  'k',
  'watch',
  'dropOldest',
  'dropNewest',
  'conflate',
  'pause',
  'disconnect',
  'symbol',
  '',
  'x'.repeat(129),
  'é'.repeat(40),
];
const NUMBERS = [
  0,
  1,
  2,
  5,
  50,
  127,
  128,
  255,
  256,
  1_000,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  -1,
  -128,
  0.5,
  Number.NaN,
];
const ROUTED: readonly number[] = [
  MessageType.PUBLISH,
  MessageType.SUBSCRIBE,
  MessageType.UNSUBSCRIBE,
  MessageType.HISTORY,
  MessageType.PRESENCE,
  MessageType.REFRESH,
];

export class Mutator {
  readonly prng: Prng;

  constructor(seed: number, stream: number) {
    this.prng = new Prng(seed, stream);
  }

  /** One input: mostly one message, sometimes several, sometimes nothing of the kind. */
  next(): Uint8Array {
    const choice = this.prng.nextInt(0, 99);
    if (choice < 45) return this.command();
    if (choice < 55) return this.#bend(this.command());
    if (choice < 80) return this.#bend(this.#golden());
    if (choice < 90) return this.#several();
    if (choice < 95) return this.#golden();
    return this.noise(this.prng.nextInt(0, 80));
  }

  /** A command whose parts are likely but not sure to be right. */
  command(): Uint8Array {
    const { prng } = this;
    const type = prng.nextBoolean(0.9) ? prng.pick(ROUTED) : prng.pick(MESSAGE_SPECS).type;
    const id = prng.nextBoolean(0.9) ? prng.nextInt(0, 300) : prng.pick(NUMBERS);
    const name = this.#name(type === MessageType.SUBSCRIBE || type === MessageType.UNSUBSCRIBE);
    switch (type) {
      case MessageType.PUBLISH:
        return pack([type, id, name, this.#options(), this.#value(3)]);
      case MessageType.UNSUBSCRIBE:
        return pack([type, id, name]);
      case MessageType.REFRESH:
        // No options, so nothing looks at it on its way to whoever reads it: a value of any kind, extensions too.
        return concatenate([Uint8Array.of(0x93, type, 7), this.#wholeValue()]);
      default:
        return pack([type, id, name, this.#options()]);
    }
  }

  /** Encoded; of the snippets those that are one well-formed value by themselves do harm, the others are refused. */
  #wholeValue(): Uint8Array {
    return this.prng.nextBoolean() ? Uint8Array.from(this.prng.pick(SNIPPETS)) : pack(this.#value(2));
  }

  noise(length: number): Uint8Array {
    return Uint8Array.from({ length }, () =>
      this.prng.nextBoolean(0.3) ? this.prng.pick(TURNING_BYTES) : this.prng.nextInt(0, 255),
    );
  }

  #name(mayBePattern: boolean): unknown {
    const { prng } = this;
    if (prng.nextBoolean(0.03)) return this.#value(1);
    return mayBePattern && prng.nextBoolean(0.3) ? prng.pick(PATTERNS) : prng.pick(NAMES);
  }

  #options(): unknown {
    const { prng } = this;
    if (prng.nextBoolean(0.4)) return null;
    if (prng.nextBoolean(0.05)) return this.#value(2);
    const keys = Array.from({ length: prng.nextInt(0, 3) }, () => prng.pick(OPTION_KEYS));
    return Object.fromEntries(keys.map((key) => [key, this.#optionValue(key)])); // Own fields, `__proto__` too.
  }

  /** Right more often than not. */
  #optionValue(key: string): unknown {
    const { prng } = this;
    if (prng.nextBoolean(0.3)) return this.#value(2);
    switch (key) {
      case 'since':
        return { epoch: prng.pick(WORDS), offset: prng.pick(NUMBERS) };
      case 'presence':
        return prng.pick<unknown>([true, false, 'watch', { mood: prng.nextInt(0, 3) }, this.#map(2)]);
      case 'headers':
        return { symbol: prng.pick(WORDS), [prng.pick(MAP_KEYS)]: prng.pick(WORDS), [prng.pick(MAP_KEYS)]: 'x' };
      case 'policy':
      case 'conflateBy':
      case 'key':
        return prng.pick(WORDS);
      case 'echo':
      case 'reverse':
      case 'countOnly':
        return prng.nextBoolean();
      default:
        return prng.pick(NUMBERS);
    }
  }

  #map(depth: number): Record<string, unknown> {
    const keys = Array.from({ length: this.prng.nextInt(0, 4) }, () => this.prng.pick(MAP_KEYS));
    return Object.fromEntries(keys.map((key) => [key, this.#value(depth - 1)]));
  }

  #value(depth: number): unknown {
    const { prng } = this;
    switch (prng.nextInt(0, depth > 0 ? 8 : 5)) {
      case 0:
        return null;
      case 1:
        return prng.nextBoolean();
      case 2:
        return prng.pick(NUMBERS);
      case 3:
        return prng.pick(WORDS);
      case 4:
        return this.noise(prng.nextInt(0, 20));
      case 5:
        return 'x'.repeat(prng.nextInt(0, 200));
      case 6:
        return Array.from({ length: prng.nextInt(0, 4) }, () => this.#value(depth - 1));
      default:
        return this.#map(depth);
    }
  }

  #golden(): Uint8Array {
    return this.prng.pick(CORPUS).slice();
  }

  #several(): Uint8Array {
    const parts = Array.from({ length: this.prng.nextInt(2, 6) }, () =>
      this.prng.nextBoolean() ? this.#golden() : this.command(),
    );
    if (this.prng.nextBoolean(0.3)) parts.push(this.#bend(this.#golden()));
    return concatenate(parts);
  }

  #bend(bytes: Uint8Array): Uint8Array {
    let bent = bytes;
    for (let count = this.prng.nextInt(1, 3); count > 0; count--) bent = this.#bendOnce(bent);
    return bent.length > INPUT_BYTES_MAX ? bent.slice(0, INPUT_BYTES_MAX) : bent;
  }

  #bendOnce(bytes: Uint8Array): Uint8Array {
    const { prng } = this;
    if (bytes.length === 0) return this.noise(3);
    const at = prng.nextInt(0, bytes.length - 1);
    switch (prng.nextInt(0, 9)) {
      case 0: // A bit.
        return replaced(bytes, at, [(bytes[at] as number) ^ (1 << prng.nextInt(0, 7))]);
      case 1: // A byte.
        return replaced(bytes, at, [prng.nextBoolean() ? prng.pick(TURNING_BYTES) : prng.nextInt(0, 255)]);
      case 2: // A number one off: lengths and counts among them.
        return replaced(bytes, at, [((bytes[at] as number) + (prng.nextBoolean() ? 1 : 255)) & 0xff]);
      case 3: // Cut.
        return bytes.slice(0, at);
      case 4: // A piece twice.
        return spliced(bytes, at, 0, bytes.slice(at, at + prng.nextInt(1, 12)));
      case 5: // A piece less.
        return spliced(bytes, at, prng.nextInt(1, 4), new Uint8Array(0));
      case 6: // The end of another frame.
        return concatenate([bytes.slice(0, at), this.#tail()]);
      case 7: // Something nasty, in place of a byte or between.
        return spliced(bytes, at, prng.nextInt(0, 1), Uint8Array.from(prng.pick(SNIPPETS)));
      case 8: {
        // Deep: around what stands here.
        const depth = prng.pick([1, 62, 63, 64, 65, 66, 200, 5_000]);
        return spliced(bytes, at, 0, new Uint8Array(depth).fill(prng.pick([0x91, 0x81, 0xdc])));
      }
      default: // In the longest form: the length of what follows is four bytes from here on.
        return spliced(bytes, at, 1, Uint8Array.of(prng.pick([0xdb, 0xc6, 0xdd, 0xdf]), 0, 0, 0, prng.nextInt(0, 20)));
    }
  }

  #tail(): Uint8Array {
    const other = this.#golden();
    return other.slice(this.prng.nextInt(0, other.length));
  }
}

function replaced(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

function spliced(bytes: Uint8Array, at: number, removed: number, inserted: Uint8Array): Uint8Array {
  return concatenate([bytes.subarray(0, at), inserted, bytes.subarray(Math.min(bytes.length, at + removed))]);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
