/**
 * `relay call` and `relay services`: calling a service, and looking at what is registered.
 */
import process from 'node:process';
import type { CallOptions, InstanceInfo, ServiceInfo } from '../client/full.ts';
import { CLIENT_FLAGS, headersOf, isForPeople, JSON_FLAG, payloadOf, print, printTable, withClient } from './client-command.ts';
import { type Flag, integerFlag, parse } from './flags.ts';

const CALL_FLAGS: Readonly<Record<string, Flag>> = {
  ...CLIENT_FLAGS,
  'deadline-ms': { type: 'string', about: 'give up after this time' },
  header: { type: 'string', multiple: true, about: 'name=value; may be given several times' },
  'hash-key': { type: 'string', about: 'the same key goes to the same instance' },
  'version-range': { type: 'string', about: "of the instance's version, ^1.2 for one" },
  idempotent: { type: 'boolean', about: 'it may run twice: call again if an instance or the connection is lost' },
  stream: { type: 'boolean', about: 'the result is a stream: print its parts as they come' },
};

const SERVICES_FLAGS: Readonly<Record<string, Flag>> = {
  ...CLIENT_FLAGS,
  ...JSON_FLAG,
  instances: { type: 'boolean', about: 'every instance with its counters' },
};

/** `relay call SERVICE METHOD [PAYLOAD]`: prints the result, or each part of it. */
export async function callCommand(argv: string[]): Promise<number> {
  const parsed = parse('relay call SERVICE METHOD [PAYLOAD]', CALL_FLAGS, argv, [2, 3]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values } = parsed;
  const [service, method, text] = parsed.positionals as [string, string, string | undefined];
  return withClient(values, async (client) => {
    const controller = new AbortController();
    const deadlineMs = integerFlag(values, 'deadline-ms');
    const options: CallOptions = {
      signal: controller.signal,
      ...headersOf(values),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(values['hash-key'] === undefined ? {} : { hashKey: values['hash-key'] as string }),
      ...(values['version-range'] === undefined ? {} : { version: values['version-range'] as string }),
      ...(values['idempotent'] === true ? { idempotent: true } : {}),
    };
    // The instance should hear of it, which a killed process would tell it too, but later.
    process.once('SIGINT', () => controller.abort());
    process.once('SIGTERM', () => controller.abort());
    const payload = text === undefined ? null : payloadOf(text);
    if (values['stream'] === true) {
      for await (const part of client.callStream(service, method, payload, options)) print(part);
    } else print(await client.call(service, method, payload, options));
    return 0;
  });
}

/** `relay services [PATTERN]`: a table for people, JSON lines for everything else. */
export async function servicesCommand(argv: string[]): Promise<number> {
  const parsed = parse('relay services [PATTERN]', SERVICES_FLAGS, argv, [0, 1]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values, positionals } = parsed;
  return withClient(values, async (client) => {
    const instances = values['instances'] === true;
    const found = [...(await client.services(positionals[0] ?? '>', { instances }))];
    found.sort((one, other) => (one.service < other.service ? -1 : 1));
    if (!isForPeople(values)) for (const service of found) print(service);
    else if (instances) printInstances(found);
    else printServices(found);
    return 0;
  });
}

function printServices(services: readonly ServiceInfo[]): void {
  const head = [
    'service',
    'versions',
    'methods',
    'ok',
    'degraded',
    'failing',
    'in flight',
    'waiting',
    'calls',
    'errors',
    'p50 ms',
    'p99 ms',
  ];
  const row = (info: ServiceInfo) => [
    info.service,
    info.versions.join(' '),
    info.methods.join(' '),
    ...[info.ok, info.degraded, info.failing, info.inFlight, info.waiting, info.calls, info.errors],
    ...[milliseconds(info.p50Ms), milliseconds(info.p99Ms)],
  ];
  printTable(head, services.map(row));
}

function printInstances(services: readonly ServiceInfo[]): void {
  const head = [
    'service',
    'instance',
    'client',
    'version',
    'health',
    'breaker',
    'load',
    'in flight',
    'capacity',
    'calls',
    'errors',
    'p50 ms',
    'p99 ms',
  ];
  const row = (service: string, info: InstanceInfo) => [
    service,
    info.instance,
    info.client,
    info.version,
    info.health,
    info.ejected ? 'ejected' : info.breaker,
    info.load ?? '-',
    ...[info.inFlight, info.capacity, info.calls, info.errors],
    ...[milliseconds(info.p50Ms), milliseconds(info.p99Ms)],
  ];
  printTable(
    head,
    services.flatMap(({ service, list = [] }) => list.map((info) => row(service, info))),
  );
}

/** Three digits are enough for a table. */
function milliseconds(value: number): number {
  return Number(value.toPrecision(3));
}
