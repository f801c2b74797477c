/**
 * `relay pub` and `relay sub`: the SDK from the command line.
 *
 * `sub` prints one JSON line per message and event, so that it can be piped.
 */
import { createInterface } from 'node:readline';
import type { SlowConsumerPolicy } from '../client/index.ts';
import { CLIENT_FLAGS, headersOf, payloadOf, positionOf, print, warn, withClient } from './client-command.ts';
import { type Flag, integerFlag, parse } from './flags.ts';

const PUB_FLAGS: Readonly<Record<string, Flag>> = {
  ...CLIENT_FLAGS,
  key: { type: 'string', about: 'idempotency key (one message only)' },
  header: { type: 'string', multiple: true, about: 'name=value; may be given several times' },
  'ttl-ms': { type: 'string', about: 'not replayed after this time' },
};

const SUB_FLAGS: Readonly<Record<string, Flag>> = {
  ...CLIENT_FLAGS,
  since: { type: 'string', about: 'EPOCH:OFFSET, the last position processed' },
  last: { type: 'string', about: 'begin with the newest n messages' },
  presence: { type: 'boolean', about: 'be a member and print presence events' },
  policy: { type: 'string', about: 'disconnect, dropOldest, dropNewest, conflate or pause' },
  group: { type: 'string', about: 'share the messages with the other members of this queue group' },
  ack: { type: 'boolean', about: 'with --group: acknowledge each message when it is printed' },
  count: { type: 'string', about: 'end after n messages' },
};

/** `relay pub TOPIC PAYLOAD`; PAYLOAD `-` publishes every line of the standard input. */
export async function publish(argv: string[]): Promise<number> {
  const parsed = parse('relay pub TOPIC PAYLOAD|-', PUB_FLAGS, argv, [2, 2]);
  if (parsed.kind === 'exit') return parsed.code;
  const [topic, text] = parsed.positionals as [string, string];
  return withClient(parsed.values, async (client) => {
    const ttlMs = integerFlag(parsed.values, 'ttl-ms');
    const key = parsed.values['key'] as string | undefined;
    const options = {
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(key === undefined ? {} : { key }),
      ...headersOf(parsed.values),
    };
    for await (const line of text === '-' ? createInterface({ input: process.stdin }) : [text]) {
      print(await client.publish(topic, payloadOf(line), options));
    }
    return 0;
  });
}

/** `relay sub TOPIC`: until interrupted, `--count` is reached, or the relay says not to come back. */
export async function subscribe(argv: string[]): Promise<number> {
  const parsed = parse('relay sub TOPIC|PATTERN', SUB_FLAGS, argv, [1, 1]);
  if (parsed.kind === 'exit') return parsed.code;
  const [topic] = parsed.positionals as [string];
  return withClient(parsed.values, async (client) => {
    const { since, policy, group } = parsed.values;
    const last = integerFlag(parsed.values, 'last');
    const countMax = integerFlag(parsed.values, 'count') ?? Number.POSITIVE_INFINITY;
    const subscription = client.subscribe(topic, {
      ...(since === undefined ? {} : { since: positionOf(since as string) }),
      ...(last === undefined ? {} : { last }),
      ...(policy === undefined ? {} : { policy: policy as SlowConsumerPolicy }),
      ...(parsed.values['presence'] === true ? { presence: true } : {}),
      ...(group === undefined ? {} : { group: group as string }),
      ...(parsed.values['ack'] === true ? { ack: true } : {}),
    });
    subscription.on('subscribed', (result) => print({ event: 'subscribed', ...result }));
    subscription.on('presence', (change) => print({ event: 'presence', ...change }));
    subscription.on('skip', (skip) => print({ event: 'skip', ...skip }));
    subscription.on('continuity-lost', (loss) => print({ event: 'continuity-lost', ...loss }));
    process.once('SIGINT', () => subscription.unsubscribe());
    process.once('SIGTERM', () => subscription.unsubscribe());
    let count = 0;
    if (countMax > 0) {
      for await (const message of subscription) {
        print(message);
        await message.ack?.().catch(warn); // It is somebody else's by now, who prints it again.
        if (++count >= countMax) break;
      }
    }
    return 0;
  });
}
