/**
 * Queries of HTTP requests as options of commands, encoded.
 *
 * Thread: front only. Shapes only: what the values may be is the lanes' to say, as it is for a WebSocket's command.
 */
import { pack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import type { Query } from './http-routes.ts';

const NIL = Uint8Array.of(0xc0);

export function publishOptions({ texts, integers, booleans, headers }: Query): Uint8Array {
  return encodeOptions({
    key: texts.get('key'),
    ttlMs: integers.get('ttlMs'),
    echo: booleans.get('echo'),
    headers: headers ?? undefined,
  });
}

export function callOptions({ texts, booleans, headers }: Query, deadlineMs: number): Uint8Array {
  return encodeOptions({
    deadlineMs,
    hashKey: texts.get('hashKey'),
    idempotent: booleans.get('idempotent'),
    version: texts.get('version'),
    headers: headers ?? undefined,
    window: 1, // The first part shows that it is a stream, and is one too many.
  });
}

export function historyOptions({ texts, integers, booleans }: Query): Uint8Array {
  const epoch = texts.get('sinceEpoch');
  const offset = integers.get('sinceOffset');
  if ((epoch === undefined) !== (offset === undefined))
    throw new RelayError('BAD_REQUEST', 'sinceEpoch and sinceOffset go together');
  return encodeOptions({
    limit: integers.get('limit'),
    reverse: booleans.get('reverse'),
    since: epoch === undefined ? undefined : { epoch, offset },
  });
}

export function presenceOptions({ booleans }: Query): Uint8Array {
  return encodeOptions({ countOnly: booleans.get('countOnly') });
}

/** A map of what is there; nil when nothing is. */
export function encodeOptions(options: Readonly<Record<string, unknown>>): Uint8Array {
  const present = Object.entries(options).filter(([, value]) => value !== undefined);
  return present.length === 0 ? NIL : pack(Object.fromEntries(present));
}
