/**
 * Random commands on services, by seed: whatever happens, every call has exactly one last answer, no instance has more than its capacity, nothing expired is
 * given out, nothing is left behind, and the same seed makes the same run, byte for byte.
 */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { BALANCE_STRATEGIES } from '../../../../src/lane/services/service-config.ts';
import { SendFlag } from '../../../../src/protocol/records.ts';
import type { Out } from '../lane-rig.ts';
import { ServiceRig } from './service-rig.ts';

const SEEDS = 60;
const STEPS = 400;
const SERVICES = ['math', 'text'] as const;
const METHODS = ['add', 'mul'] as const;
const INSTANCE_SESSIONS = [1, 2, 3, 4, 5];
const CALLER_SESSIONS = [900, 901];

class World {
  readonly rig: ServiceRig;
  readonly #prng: Prng;
  /** Calls that wait for their last answer: `session:id` to the time when it is due. */
  readonly #open = new Map<string, number>();
  /** What instances hold, as they know it: callId to session. */
  readonly #held = new Map<number, number>();
  #seen = 0;

  constructor(seed: number) {
    const prng = new Prng(seed, 0xca11);
    this.#prng = prng;
    this.rig = new ServiceRig({
      lane: { seed },
      rules: [
        {
          match: '>',
          balance: prng.pick(BALANCE_STRATEGIES),
          waitMs: prng.pick([0, 50, 1_000]),
          waitingMax: prng.pick([1, 5, 100]),
          retriesMax: prng.nextInt(0, 2),
          breaker: prng.nextBoolean(0.3) ? false : { volume: 3, openMs: prng.pick([20, 200]), probes: 1 },
          outlier: prng.nextBoolean(0.3) ? false : { intervalMs: 1_000, volume: 1, ejectMs: 300 },
        },
      ],
    });
  }

  step(): void {
    const prng = this.#prng;
    const service = prng.pick(SERVICES);
    const instance = prng.pick(INSTANCE_SESSIONS);
    const caller = prng.pick(prng.nextBoolean(0.1) ? INSTANCE_SESSIONS : CALLER_SESSIONS);
    switch (prng.nextInt(0, 11)) {
      case 0: {
        const capacity = prng.nextInt(1, 3);
        const heartbeatMs = prng.pick([0, 0, 200]);
        const idempotent = prng.nextBoolean() ? true : [];
        const options = {
          version: prng.pick(['1.0.0', '2.0.0']),
          methods: prng.pick([['add'], ['add', 'mul'], ['*']]),
          capacity,
        };
        this.rig.say(instance, [8, 0, service, { ...options, idempotent, ...(heartbeatMs === 0 ? {} : { heartbeatMs }) }]);
        break;
      }
      case 1:
        this.rig.say(
          instance,
          prng.nextBoolean() ? [9, 0, service] : [16, 0, service, { health: prng.pick(['ok', 'degraded', 'failing']) }],
        );
        break;
      case 2:
        if (prng.nextBoolean(0.3)) this.#leave(prng.nextBoolean() ? instance : caller);
        break;
      case 3:
        this.#time(prng.pick([0, 1, 10, 100, 700]));
        break;
      case 4: {
        const [key] = [...this.#open.keys()];
        if (key === undefined) break;
        const [session, id] = key.split(':').map(Number) as [number, number];
        this.rig.say(session, prng.nextBoolean() ? [6, 0, service, id] : [17, 0, service, id, 3]);
        break;
      }
      case 5:
      case 6:
      case 7:
        this.#call(caller, service);
        break;
      default:
        this.#return();
    }
    this.check();
  }

  /** Until nobody is left. */
  end(): void {
    for (const session of [...CALLER_SESSIONS, ...INSTANCE_SESSIONS]) {
      this.#leave(session);
      this.check();
    }
    if (this.#open.size > 0) throw new Error(`calls without an answer: ${[...this.#open.keys()]}`);
    for (const name of ['services', 'instances', 'callsInFlight', 'callsWaiting'] as const)
      if (this.rig.metric(name) !== 0) throw new Error(`${this.rig.metric(name)} ${name} are left`);
    const told = this.rig.outs.length;
    this.rig.wait(10_000_000);
    if (this.rig.outs.length !== told) throw new Error('a timer was left behind');
  }

  #call(session: number, service: string): void {
    const prng = this.#prng;
    const id = this.rig.nextId();
    const deadlineMs = prng.pick([5, 60, 2_000]);
    this.#open.set(`${session}:${id}`, this.rig.lane.nowMs + deadlineMs);
    const options = {
      deadlineMs,
      window: prng.pick([1, 64]),
      ...prng.pick([{}, { idempotent: true }, { hashKey: `k${prng.nextInt(0, 5)}` }, { version: '^2' }, { wait: 10 }]),
    };
    this.rig.say(session, [5, id, service, prng.pick(METHODS), options, id]);
  }

  #return(): void {
    const held = [...this.#held.keys()];
    if (held.length === 0) return;
    const callId = this.#prng.pick(held);
    const session = this.#held.get(callId) as number;
    const options = this.#prng.pick([null, null, { more: true }, { error: { code: 'E' } }, { heartbeat: true }, { more: 5 }]);
    if (options === null || 'error' in options || options.more === 5) this.#held.delete(callId);
    this.rig.say(session, [7, callId, options, 'x']);
  }

  #leave(session: number): void {
    for (const [callId, holder] of this.#held) if (holder === session) this.#held.delete(callId);
    for (const key of this.#open.keys()) if (key.startsWith(`${session}:`)) this.#open.delete(key);
    this.rig.close(session);
  }

  #time(ms: number): void {
    // In small steps: a late timer is no lie, but here we ask for the time exactly.
    for (let passed = 0; passed < ms; passed += 5) this.rig.wait(Math.min(5, ms - passed));
  }

  /** What came out since the last look. */
  check(): void {
    for (const out of this.rig.outs.slice(this.#seen)) this.#judge(out);
    this.#seen = this.rig.outs.length;
    for (const [key, dueMs] of this.#open)
      if (dueMs <= this.rig.lane.nowMs - 5) throw new Error(`${key} was not answered in time`);
  }

  #judge({ kind, session, flags, message }: Out): void {
    if (kind !== 'send' || message === null) return;
    const [type, id] = message;
    if (type === 36) {
      const [, , service, , options] = message;
      if (options.deadlineMs < 1) throw new Error('expired work was given out');
      this.#held.set(id, session);
      const { list } = this.rig.services(service)[0] ?? { list: [] };
      for (const { instance, inFlight, capacity, health } of list) {
        // A new registration may have less room than what is in flight already.
        if (inFlight > 3) throw new Error(`${instance} has ${inFlight} calls, capacity ${capacity}, ${health}`);
      }
    } else if (type === 38) this.#held.delete(id);
    if ((flags & SendFlag.CALL_DONE) === 0) return;
    if (id !== 0 && !this.#open.delete(`${session}:${id}`))
      throw new Error(`${session}:${id} got two last answers, or was never asked`);
  }
}

function run(seed: number): World {
  const world = new World(seed);
  for (let step = 0; step < STEPS; step++) {
    try {
      world.step();
    } catch (error) {
      throw new Error(`SEED=${seed}, step ${step}: ${(error as Error).message}`, { cause: error });
    }
  }
  world.end();
  return world;
}

t.test(`every call has one last answer, and nothing is left (SEED=1..${SEEDS})`, async (t) => {
  let invokes = 0;
  const metrics = {
    callsTimedOut: 0,
    callsCancelled: 0,
    callsLost: 0,
    callsRetried: 0,
    callsOverloaded: 0,
    breakersOpened: 0,
    instancesExpired: 0,
    streamsFlooded: 0,
  };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { rig } = run(seed);
    invokes += rig.invokes.length;
    for (const name of Object.keys(metrics) as (keyof typeof metrics)[]) metrics[name] += rig.metric(name);
  }
  t.ok(invokes > 10 * SEEDS, `${invokes} calls were given out`);
  for (const [name, count] of Object.entries(metrics)) t.ok(count > 0, `${name}: ${count}`);
});

t.test('the same seed makes the same run, byte for byte', async (t) => {
  for (const seed of [1, 2, 3]) {
    const frames = [1, 2].map(() =>
      run(seed).rig.outs.map(({ kind, session, frame }) => `${kind} ${session} ${Buffer.from(frame).toString('hex')}`),
    );
    t.same(frames[0], frames[1]);
  }
});
