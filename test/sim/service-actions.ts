/** What a client does about services, drawn at random: it registers, calls, works for others, and does each of them wrong now and then. */
import type { Prng } from '../../src/base/prng.ts';
import type { CallAsked, RegisterAsked } from './service-model.ts';
import type { ServiceView, WorkView } from './service-view.ts';
import type { SimClient } from './sim-client.ts';

export interface ServiceWorld {
  readonly services: readonly string[];
  readonly padMax: number;
  readonly payloadBytesMax: number;
  /** Whole reports go through one record of the egress ring. */
  readonly mayAskForAll: boolean;
  /** A number for a call's payload. `once`: no two instances may be given it. */
  newCall(once: boolean): number;
  /** A call that somebody else has been given. */
  someonesCall(prng: Prng, us: SimClient): number | null;
  count(what: string): void;
}

/** Nobody says of it that it may run twice, neither callers nor instances. */
export const ONCE_ONLY = 'till';
export const SERVICES = ['math', 'print', ONCE_ONLY, 'store.eu'];
/** Nobody ever serves it. */
const NOBODYS = 'nobody';
/** More calls than a run has. */
const NOBODYS_CALL = 1_000_000;
const METHODS = ['add', 'cut'];
const VERSIONS = ['1.0.0', '1.2.3', '2.0.0-rc.1', '2.1.0'];
const RANGES = ['^1.0.0', '>=2 <3', '1.2.3', '*', '9.x'];
const REGIONS = ['eu', 'us'];

export function serviceStep(client: SimClient, prng: Prng, world: ServiceWorld): void {
  const view = client.services as ServiceView;
  const work = [...view.work.values()];
  if (view.serves.size === 0 && prng.nextBoolean(0.4)) {
    client.say(register(client, prng, world));
    return;
  }
  if (work.length > 0 && prng.nextBoolean(0.6)) {
    client.say(...Array.from({ length: prng.nextInt(1, 3) }, () => answer(client, prng.pick(work), prng, world)));
    return;
  }
  const roll = prng.nextFloat();
  if (roll < 0.5) client.say(...Array.from({ length: prng.nextInt(1, 4) }, () => call(client, prng, world)));
  else if (roll < 0.68) client.say(register(client, prng, world));
  else if (roll < 0.76) client.say(heartbeat(client, prng, world));
  else if (roll < 0.8) client.say(client.deregister(prng.nextBoolean(0.9) ? prng.pick(world.services) : NOBODYS));
  else if (roll < 0.9) client.say(meddle(client, view, prng, world));
  else if (roll < 0.94) client.say(ask(client, prng, world));
  else client.say(stray(client, view, prng, world));
}

function register(client: SimClient, prng: Prng, world: ServiceWorld): unknown[] {
  const service = prng.nextBoolean(0.3) ? (world.services[0] as string) : prng.pick(world.services);
  const options: { -readonly [Key in keyof RegisterAsked]: RegisterAsked[Key] } = {
    version: prng.pick(VERSIONS),
    methods: prng.pick([METHODS, METHODS, [prng.pick(METHODS)], ['*'], ['*', prng.pick(METHODS)]]),
  };
  if (prng.nextBoolean(0.8)) options.capacity = prng.pick([1, 1, 2, 5]);
  if (prng.nextBoolean(0.4)) options.weight = prng.nextInt(1, 5);
  if (prng.nextBoolean(0.4)) options.metadata = { region: prng.pick(REGIONS), fast: prng.nextBoolean() };
  if (service !== ONCE_ONLY && prng.nextBoolean())
    options.idempotent = prng.nextBoolean() ? true : [options.methods[0] as string];
  if (prng.nextBoolean(0.3)) options.heartbeatMs = prng.pick([100, 700, 3_000]);
  return client.register(service, options);
}

function heartbeat(client: SimClient, prng: Prng, world: ServiceWorld): unknown[] {
  const serves = [...(client.services as ServiceView).serves.keys()];
  const service = serves.length > 0 && prng.nextBoolean(0.9) ? prng.pick(serves) : prng.pick(world.services);
  const health = prng.pick([undefined, undefined, 'ok', 'ok', 'degraded', 'failing']);
  const options = {
    ...(prng.nextBoolean(0.3) ? { load: prng.pick([0, 0.5, 1]) } : {}),
    ...(health === undefined ? {} : { health }),
  };
  return client.heartbeat(service, prng.nextBoolean(0.2) ? null : options);
}

function call(client: SimClient, prng: Prng, world: ServiceWorld): unknown[] {
  const service = prng.nextBoolean(0.03)
    ? NOBODYS
    : prng.nextBoolean(0.5)
      ? (world.services[0] as string)
      : prng.pick(world.services);
  const options: { -readonly [Key in keyof CallAsked]: CallAsked[Key] } = {};
  if (prng.nextBoolean(0.6)) options.deadlineMs = prng.pick([5, 80, 600, 2_000, 4_000]);
  if (prng.nextBoolean(0.15)) options.hashKey = prng.pick(['k1', 'k2', 'k3']);
  if (prng.nextBoolean(0.15)) options.headers = { h: prng.pick(['x', 'y']) };
  if (service !== ONCE_ONLY && prng.nextBoolean(0.3)) options.idempotent = true;
  if (prng.nextBoolean(0.15)) options.version = prng.pick(RANGES);
  if (prng.nextBoolean(0.1)) options.select = { region: prng.pick(REGIONS) };
  if (prng.nextBoolean(0.3)) options.window = prng.pick([1, 2, 5]);
  if (prng.nextBoolean(0.2)) options.wait = prng.pick([0, 50, 1_000]);
  const uid = world.newCall(service === ONCE_ONLY);
  const pad = 'x'.repeat(prng.nextBoolean(0.03) ? world.payloadBytesMax : prng.nextInt(0, world.padMax));
  const inFlight = [...(client.services as ServiceView).calls.values()].filter((known) => known.service === service);
  const again = prng.nextBoolean(0.06) ? 0 : inFlight.length > 0 && prng.nextBoolean(0.03) ? prng.pick(inFlight).id : null;
  world.count('calls');
  const method = prng.nextBoolean(0.03) ? 'unheard' : prng.pick(METHODS);
  return client.call(service, method, Object.keys(options).length === 0 ? null : options, [uid, pad], again);
}

/** As the caller: less, or more. */
function meddle(client: SimClient, view: ServiceView, prng: Prng, world: ServiceWorld): unknown[] {
  const calls = [...view.calls.values()];
  if (calls.length === 0) return client.cancel(prng.pick(world.services), prng.nextInt(1, 30));
  const { service, id } = prng.pick(calls);
  if (prng.nextBoolean(0.05)) return client.cancel(prng.pick(world.services), id);
  return prng.nextBoolean(0.6) ? client.cancel(service, id) : client.credit(service, id, prng.nextInt(1, 4));
}

/** As the instance: a part, the result, an error, a sign of life, something that is no answer. */
function answer(client: SimClient, work: WorkView, prng: Prng, world: ServiceWorld): unknown[] {
  const { callId } = work;
  const [uid] = work.payload as [number];
  const view = client.services as ServiceView;
  const pad = 'y'.repeat(prng.nextInt(0, world.padMax));
  const roll = prng.nextFloat();
  if (roll < 0.3 && (work.parts < work.credit || prng.nextBoolean(0.1))) {
    world.count(work.parts < work.credit ? 'parts' : 'parts without credit');
    return client.return(callId, { more: true }, [uid, work.parts++, pad]);
  }
  if (roll < 0.4) return client.return(callId, { heartbeat: true }, null);
  view.over(callId);
  if (roll < 0.82) return client.return(callId, null, [uid, 'end', pad]);
  if (roll < 0.96) {
    const details = prng.nextBoolean() ? { details: { pad } } : {};
    return client.return(callId, { error: { code: prng.pick(['E1', 7]), text: 'no', ...details } }, null);
  }
  if (roll < 0.98) return client.return(callId, { more: 5 }, null);
  return client.return(callId, null, [uid, 'end', 'z'.repeat(world.payloadBytesMax)]);
}

function ask(client: SimClient, prng: Prng, world: ServiceWorld): unknown[] {
  if (prng.nextBoolean())
    return client.askServices(prng.pick(['>', '*', 'store.*']), world.mayAskForAll ? { instances: true } : null);
  return client.askServices(prng.pick(world.services), prng.nextBoolean(0.8) ? { instances: true } : null);
}

/** A RETURN that nobody waits for: late, twice, to somebody else's call, to none at all. */
function stray(client: SimClient, view: ServiceView, prng: Prng, world: ServiceWorld): unknown[] {
  const past = view.past.length > 0 && prng.nextBoolean(0.6) ? prng.pick(view.past) : null;
  const callId = past ?? world.someonesCall(prng, client) ?? prng.nextInt(NOBODYS_CALL, 2 * NOBODYS_CALL);
  world.count('stray returns');
  return client.return(callId, prng.pick([null, { more: true }, { error: { code: 'E2', text: 'late' } }]), [-1, 'stray', '']);
}
