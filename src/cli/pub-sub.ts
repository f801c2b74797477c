/**
 * `relay pub` and `relay sub`: the SDK from the command line.
 *
 * Payloads are JSON where they parse as JSON, text otherwise. `sub` prints one JSON line per message and event, so that it can be piped.
 */
import { createInterface } from 'node:readline';
import { type Client, createClient, type Position, RelayError, type SlowConsumerPolicy } from '../client/index.ts';
import { type Flag, type FlagValues, integerFlag, parse } from './flags.ts';

const COMMON: Readonly<Record<string, Flag>> = {
  url: { type: 'string', default: 'ws://127.0.0.1:8080', about: 'the relay' },
  client: { type: 'string', about: 'a name for this client' },
};

const PUB_FLAGS: Readonly<Record<string, Flag>> = {
  ...COMMON,
  key: { type: 'string', about: 'idempotency key (one message only)' },
  header: { type: 'string', multiple: true, about: 'name=value; may be given several times' },
  'ttl-ms': { type: 'string', about: 'not replayed after this time' },
};

const SUB_FLAGS: Readonly<Record<string, Flag>> = {
  ...COMMON,
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
      ...(parsed.values['header'] === undefined ? {} : { headers: headersOf(parsed.values['header'] as string[]) }),
    };
    for await (const line of text === '-' ? createInterface({ input: process.stdin }) : [text]) {
      print(await client.publish(topic, payloadOf(line), options));
    }
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
  });
}

async function withClient(values: FlagValues, use: (client: Client) => Promise<void>): Promise<number> {
  let client: Client | null = null;
  try {
    client = createClient({
      url: values['url'] as string,
      ...(values['client'] === undefined ? {} : { client: values['client'] as string }),
    });
    client.on('state', (state) => {
      if (state.name === 'waiting') process.stderr.write(`relay: not connected, trying again: ${JSON.stringify(state)}\n`);
    });
    await client.connect();
    await use(client);
    return 0;
  } catch (error) {
    warn(error);
    return 1;
  } finally {
    await client?.close();
  }
}

function warn(error: unknown): void {
  const code = error instanceof RelayError ? ` (${error.code} ${error.codeName})` : '';
  process.stderr.write(`relay: ${(error as Error).message}${code}\n`);
}

function print(value: unknown): void {
  process.stdout.write(
    `${JSON.stringify(value, (_key, field: unknown) => (field instanceof Uint8Array ? { $bin: Buffer.from(field).toString('base64') } : field))}\n`,
  );
}

function payloadOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function headersOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new Error(`--header must be name=value, got '${pair}'`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function positionOf(text: string): Position {
  const at = text.lastIndexOf(':');
  const offset = Number(text.slice(at + 1));
  if (at < 1 || !Number.isInteger(offset)) throw new Error(`--since must be EPOCH:OFFSET, got '${text}'`);
  return { epoch: text.slice(0, at), offset };
}
