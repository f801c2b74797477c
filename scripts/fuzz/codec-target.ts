/**
 * Target `codec`: every reader of bytes by itself. Nothing may throw but a RelayError where one is due, nothing may be read past the end,
 * and readers that see the same bytes must agree.
 */
import { Reader } from '../../src/client/msgpack.ts';
import { jsonToMessagePack, messagePackToJson } from '../../src/front/http-json.ts';
import { unpack } from '../../src/protocol/codec.ts';
import { RelayError } from '../../src/protocol/errors.ts';
import { describeHeaderFault, HeaderFault, MessageHeader, readHeader, scanMessage } from '../../src/protocol/header.ts';
import { checkName, matches, NameKind } from '../../src/protocol/names.ts';
import {
  decodeOptions,
  helloOptions,
  historyOptions,
  presenceQueryOptions,
  publishOptions,
  subscribeOptions,
} from '../../src/protocol/options.ts';
import { describeSkipFault, SKIP_TOO_DEEP, skipValue } from '../../src/protocol/skip.ts';
import { type MessageSpec, SPEC_BY_TYPE } from '../../src/protocol/types.ts';
import { ensure, type FuzzTarget } from './target.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const GUARD = 0xc1;

export class CodecTarget implements FuzzTarget {
  readonly #header = new MessageHeader();
  readonly #other = new MessageHeader();
  #wellFormedCount = 0;
  #routableCount = 0;
  #decodedCount = 0;
  #optionsCount = 0;

  take(input: Uint8Array): void {
    // The same in the middle of other bytes: neighbours must not matter.
    const guarded = new Uint8Array(input.length + 16).fill(GUARD);
    guarded.set(input, 8);
    const end = skipValue(input, 0, input.length);
    ensure(end >= SKIP_TOO_DEEP && end <= input.length && end !== 0, `skipValue answers ${end} for ${input.length} bytes`);
    const guardedEnd = skipValue(guarded, 8, 8 + input.length);
    ensure(guardedEnd === (end < 0 ? end : end + 8), `skipValue answers ${end} and, among others, ${guardedEnd}`);
    if (end < 0) describeSkipFault(end);
    else {
      this.#wellFormedCount++;
      this.#decode(input.subarray(0, end));
    }
    this.#messages(input);
    const nameKind = checkName(input, 0, input.length);
    if (nameKind !== NameKind.INVALID) this.#name(input);
  }

  check(): void {
    ensure(skipValue(Uint8Array.of(0x92, 0x0e, 0x05), 0, 3) === 3, 'skipValue is as it was');
    ensure(({} as { key?: unknown }).key === undefined, 'a prototype was changed');
  }

  async finish(): Promise<Readonly<Record<string, number>>> {
    return {
      wellFormed: this.#wellFormedCount,
      routable: this.#routableCount,
      decoded: this.#decodedCount,
      options: this.#optionsCount,
    };
  }

  #messages(input: Uint8Array): void {
    const header = this.#header;
    for (let at = 0; at < input.length; at = header.end) {
      const isRoutable = scanMessage(input, at, input.length, header);
      const quick = this.#other;
      const isHeaderRead = readHeader(input, at, input.length, quick);
      ensure(!isRoutable || isHeaderRead, 'scanMessage takes what readHeader refuses');
      if (header.fault === HeaderFault.FRAMING) {
        ensure(skipValue(input, at, input.length) < 0 || isHeaderRead, 'framing is lost, but there is a value');
        return;
      }
      ensure(header.end > at && header.end <= input.length, `a message ends at ${header.end}, begun at ${at}`);
      const end = skipValue(input, at, input.length);
      ensure(end === header.end || end === SKIP_TOO_DEEP, `scanMessage ends at ${header.end}, skipValue at ${end}`);
      if (!isRoutable) {
        ensure(describeHeaderFault(header).length > 0, 'a fault without a text');
        continue;
      }
      this.#routableCount++;
      const { keyStart, keyEnd, bodyStart } = header;
      ensure(
        at < bodyStart && bodyStart <= header.end && keyStart <= keyEnd && keyEnd <= bodyStart,
        'parts of the header are out of order',
      );
      ensure(Number.isSafeInteger(header.id) && header.id >= 0, `id ${header.id}`);
      const spec = SPEC_BY_TYPE[header.type] as MessageSpec;
      if (spec.key !== 'none') checkName(input, keyStart, keyEnd);
      if (bodyStart < header.end) this.#options(input, bodyStart);
    }
  }

  /** Only a RelayError may come out: everything else ends a lane, or the relay. */
  #options(input: Uint8Array, start: number): void {
    const end = skipValue(input, start, input.length);
    if (end < 0) return;
    let options: ReturnType<typeof decodeOptions>;
    try {
      options = decodeOptions(input, start, end);
      this.#optionsCount++;
    } catch (error) {
      ensure(error instanceof RelayError, `decodeOptions throws ${error}`);
      return;
    }
    for (const read of [publishOptions, presenceQueryOptions, helloOptions]) orRelayError(() => read(options));
    orRelayError(() => historyOptions(options, 100, 1_000));
    orRelayError(() => subscribeOptions(options, 1_024));
    orRelayError(() => void JSON.stringify(options)); // Presence data is compared so.
  }

  /** What is well formed must not upset a client. */
  #decode(value: Uint8Array): void {
    const reader = new Reader(value);
    try {
      reader.value();
      ensure(reader.isAtEnd, 'the SDK stops before the end of the value');
    } catch (error) {
      ensure(
        error instanceof Error && !(error instanceof RangeError && /call stack/.test(error.message)),
        `the SDK throws ${error}`,
      );
      if (error.name === 'Finding') throw error;
    }
    const json = messagePackToJson(value);
    JSON.parse(json); // Throws where it is none.
    ensure(
      json.length <= 1_000 + 100 * value.length,
      `${value.length} bytes of MessagePack make ${json.length} characters of JSON`,
    );
    orRelayError(() => jsonToMessagePack(new TextEncoder().encode(json)));
    try {
      unpack(value);
      this.#decodedCount++;
    } catch (error) {
      ensure(error instanceof Error, `unpack throws ${error}`);
    }
  }

  #name(bytes: Uint8Array): void {
    const name = TEXT.decode(bytes); // Throws where the name is no UTF-8.
    ensure(!/[ \p{Cc}]/u.test(name), `a name with control characters: ${JSON.stringify(name)}`);
    const tokens = name.split('.');
    ensure(tokens.length <= 16 && tokens.every((token) => token.length > 0), 'a name with bad tokens');
    if (!name.includes('*') && !name.includes('>')) ensure(matches(name, name), 'a name that does not match itself');
  }
}

function orRelayError(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    ensure(error instanceof RelayError, `${error}`);
  }
}
