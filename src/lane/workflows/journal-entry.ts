/**
 * Entries of the journal: what a lane that takes another's place is told of its definitions and runs.
 *
 *   [1, workflow, run, event, facts|nil, data]   one transition of a run: `event` is what its topic carries, byte for byte; `facts` what only the
 *                                                relay knows; `data` the payload that goes with it (input, result, dead letter) or nil
 *   [2, definition]                              one definition, as DEFINE brought it
 *
 * Thread: the lane's. Payloads are spliced; nothing that a client or service sent is decoded here.
 */
import { assert } from '../../base/assert.ts';
import { pack, unpack } from '../../protocol/codec.ts';
import { writeBytes } from '../../protocol/encode.ts';
import { skipValue } from '../../protocol/skip.ts';
import { NIL, textBytes } from './splice.ts';

const RUN_ENTRY = 1;
const DEFINITION_ENTRY = 2;

export interface RunEntry {
  readonly kind: 'run';
  readonly workflow: string;
  readonly run: string;
  /** As published. */
  readonly event: Uint8Array;
  readonly facts: unknown;
  /** Copied out of the ring. Nil for none, and for a payload that is nil: the kind of event says which. */
  readonly data: Uint8Array;
}

export type JournalEntry = RunEntry | { readonly kind: 'definition'; readonly definition: Uint8Array };

export function encodeRunEntry(
  workflow: string,
  run: string,
  event: Uint8Array,
  facts: object | null,
  data: Uint8Array | null,
): Uint8Array {
  return concat(
    Uint8Array.of(0x96, RUN_ENTRY),
    textBytes(workflow),
    textBytes(run),
    event,
    facts === null ? NIL : pack(facts),
    data ?? NIL,
  );
}

export function encodeDefinitionEntry(definition: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x92, DEFINITION_ENTRY), definition);
}

/** `bytes[start, end)`, as this file wrote it: anything else is corrupt state. */
export function decodeEntry(bytes: Uint8Array, start: number, end: number): JournalEntry {
  const parts: Uint8Array[] = [];
  for (let at = start + 1; at < end; ) {
    const next = skipValue(bytes, at, end);
    assert(next > at, `journal entry is cut at byte ${at - start} of ${end - start}`);
    parts.push(bytes.slice(at, next));
    at = next;
  }
  const [tag, first, run, event, facts, data] = parts;
  if (tag?.[0] === DEFINITION_ENTRY && first !== undefined) return { kind: 'definition', definition: first };
  assert(tag?.[0] === RUN_ENTRY && data !== undefined, `journal entry of ${parts.length} parts begins with ${tag?.[0]}`);
  return {
    kind: 'run',
    workflow: unpack(first as Uint8Array) as string,
    run: unpack(run as Uint8Array) as string,
    event: event as Uint8Array,
    facts: unpack(facts as Uint8Array),
    data,
  };
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) at = writeBytes(whole, at, part, 0, part.length);
  return whole;
}
