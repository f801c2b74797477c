/** SPAWN: counts the words of one part. The relay gives the parts to as many instances of this program as there are. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallContext } from '../../src/client/full.ts';
import { serve } from './serve.ts';
import type { Part, PartCount } from './types.ts';

/** Well within the definition's `heartbeatTimeoutMs`. */
const HEARTBEAT_MS = 500;

await serve('spawn', {
  async count({ text, paceMs }: Part, call: CallContext): Promise<PartCount> {
    const words: Record<string, number> = {};
    for (const [word] of text.toLowerCase().matchAll(/\p{L}+/gu)) {
      // Own properties only: `constructor` is a word like any other.
      words[word] = (Object.hasOwn(words, word) ? (words[word] as number) : 0) + 1;
    }
    for (let leftMs = paceMs; leftMs > 0; leftMs -= HEARTBEAT_MS) {
      await sleep(Math.min(leftMs, HEARTBEAT_MS), null, { signal: call.signal });
      call.heartbeat();
    }
    return { words };
  },
});
