/**
 * What a raw client was told about a topic, read as a stream: does it go on where it was, is everything that is missing named?
 * Payloads begin with a number, which is the message's place in its epoch.
 */
import { EVENT, MESSAGE, type WireMessage } from './raw-client.ts';

export const numberIn = (payload: unknown): number => Number.parseInt(String(payload), 10);

/** What a client was told about one topic: messages, and events as they stand between them. */
export function streamOf(messages: readonly WireMessage[], sub: number): WireMessage[] {
  return messages.filter(([type, other]) => (type === MESSAGE || type === EVENT) && other === sub);
}

/** The first place where a stream of messages and skips does not go on where it was, or null. Where it ended is in `next`. */
export function followStream(
  stream: readonly WireMessage[],
  first = 1,
): { readonly next: number; readonly broken: WireMessage | null } {
  let next = first;
  for (const message of stream) {
    const [type, , , kind, data, payload] = message;
    if (type === MESSAGE) {
      if (kind !== next || numberIn(payload) !== next) return { next, broken: message };
      next++;
    } else if (kind === 'skip') {
      if (data.from !== next || data.count !== data.to - data.from + 1) return { next, broken: message };
      next = data.to + 1;
    } else if (kind !== 'lagged') return { next, broken: message };
  }
  return { next, broken: null };
}

/** A message or event that brings the stream to this offset. */
export const reaches = (sub: number, offset: number) => (message: WireMessage) =>
  message[1] === sub && (message[0] === MESSAGE ? message[3] === offset : message[0] === EVENT && message[4].to === offset);
