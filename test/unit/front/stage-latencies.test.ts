/**
 * The truth of the stage histograms: a delay that is put into one stage shows in that stage, in the whole way that holds it, and nowhere else.
 *
 * A real front and a real lane behind real rings, each step done when the test says so, on a clock that stands still but for the delay.
 */
import t from 'tap';
import { ManualClock } from '../../../src/base/clock.ts';
import { Prng } from '../../../src/base/prng.ts';
import { Front } from '../../../src/front/front.ts';
import { pack } from '../../../src/protocol/codec.ts';
import type { LatencyCounts } from '../../../src/telemetry/latency-counts.ts';
import { type FrontLatencies, type LaneLatencies, STAGE_NAMES, type Stage } from '../../../src/telemetry/stages.ts';
import { type LaneTap, SimLanes } from '../../sim/sim-lanes.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../../support/options.ts';
import { FakeConnection } from './hub-rig.ts';

const DELAY_MS = 40;
const TAP: LaneTap = {
  laneStarted: () => undefined,
  recordHandled: () => undefined,
  laneTicked: () => undefined,
  laneDied: () => undefined,
  commandLost: () => undefined,
};

/** Goes on by itself once, right after it has been read for the n-th time from now. */
class StallingClock extends ManualClock {
  #readsLeft = 0;

  stallAfterReads(count: number): void {
    this.#readsLeft = count;
  }

  override stampUs(): number {
    const stampUs = super.stampUs();
    if (this.#readsLeft > 0 && --this.#readsLeft === 0) this.advance(DELAY_MS);
    return stampUs;
  }
}

/** A socket whose system call takes a while. */
class SlowConnection extends FakeConnection {
  onSend = (): void => undefined;

  override send(frame: Uint8Array): number {
    this.onSend();
    return super.send(frame);
  }
}

class Rig {
  readonly clock = new StallingClock();
  readonly connection = new SlowConnection();
  readonly #steps: (() => void)[] = [];
  readonly #lanes: SimLanes;
  readonly #front: Front;
  readonly #session;

  constructor() {
    const options = {
      laneCount: 1,
      ingressRingBytes: 1_048_576,
      egressRingBytes: 4_194_304,
      ringStart: 0,
      laneOptions: () => LANE_DEFAULTS,
      schedule: (step: () => void) => void this.#steps.push(step),
      mayDie: false,
    };
    this.#lanes = new SimLanes(options, this.clock, new Prng(1), TAP);
    this.#front = new Front(FRONT_DEFAULTS, this.#lanes, this.clock);
    this.#lanes.start(this.#front.laneEvents);
    this.#session = this.#front.open(this.connection);
    this.say([1, 1, null], [3, 2, 'room', null]);
    this.flush();
    this.lane();
    this.drain();
    for (const stage of STAGE_NAMES) for (const counts of this.#countsOf(stage)) counts.clear();
  }

  say(...messages: unknown[][]): void {
    this.#front.onMessage(this.#session, Buffer.concat(messages.map(pack)), true);
  }
  flush(): void {
    for (const step of this.#steps.splice(0)) step();
  }
  lane(): void {
    while (this.#lanes.run(0) > 0);
  }
  drain(): void {
    this.#lanes.drain(0, 1_000);
  }
  ping(): void {
    this.clock.advance(FRONT_DEFAULTS.pingIntervalMs);
    this.#front.tick();
  }
  pong(): void {
    this.#front.onPong(this.#session);
  }

  /** Stages with at least one value of the delay's size, and those with one that is not 0 and not that. */
  seen(): { readonly delayed: Stage[]; readonly other: Stage[] } {
    const delayed: Stage[] = [];
    const other: Stage[] = [];
    for (const stage of STAGE_NAMES) {
      for (const counts of this.#countsOf(stage)) {
        const [upToHalf = 0, upToAll = 0] = counts.cumulative([500 * DELAY_MS, 1_020 * DELAY_MS]);
        const zeros = counts.buckets[0] as number;
        if (upToAll > upToHalf) delayed.push(stage);
        if (upToHalf > zeros || counts.count > upToAll) other.push(stage);
      }
    }
    return { delayed, other };
  }

  #countsOf(stage: Stage): LatencyCounts[] {
    const threads: readonly Partial<LaneLatencies & FrontLatencies>[] = [this.#front.latencies, this.#lanes.latencies(0)];
    return threads.flatMap((thread) => thread[stage] ?? []);
  }
}

const PUBLISH = [2, 7, 'room', null, 'hello'];

for (const { name, run, stages } of [
  { name: 'nowhere', run: () => undefined, stages: [] },
  {
    name: 'before the lane takes the command',
    run: (rig: Rig, at: string) => at === 'flushed' && rig.clock.advance(DELAY_MS),
    stages: ['ingressWait'],
  },
  { name: 'in the lane', run: (rig: Rig, at: string) => at === 'flushed' && rig.clock.stallAfterReads(1), stages: ['lane'] },
  {
    name: 'before the front takes the records',
    run: (rig: Rig, at: string) => at === 'handled' && rig.clock.advance(DELAY_MS),
    stages: ['egressWait'],
  },
  {
    name: 'in a system call',
    run: (rig: Rig, at: string) => {
      if (at !== 'handled') return;
      rig.connection.onSend = () => rig.clock.advance(DELAY_MS);
    },
    stages: ['socketWrite'],
  },
] as const) {
  t.test(`a delay ${name} shows there, and in the whole way`, async (t) => {
    const rig = new Rig();
    rig.say(PUBLISH);
    rig.flush();
    run(rig, 'flushed');
    rig.lane();
    run(rig, 'handled');
    rig.drain();
    const { delayed, other } = rig.seen();
    t.same(new Set(delayed), new Set(stages.length === 0 ? [] : [...stages, 'publishToLastWrite']));
    t.same(other, []);
  });
}

t.test('the round trip is that from ping to pong, once per ping', async (t) => {
  const rig = new Rig();
  rig.ping();
  rig.clock.advance(DELAY_MS);
  rig.pong();
  rig.clock.advance(7 * DELAY_MS);
  rig.pong(); // Nobody asked.
  t.same(rig.seen(), { delayed: ['clientRoundTrip'], other: [] });
});

t.test('a call is as long as its instance takes', async (t) => {
  const rig = new Rig();
  const step = (...messages: unknown[][]): void => {
    rig.say(...messages);
    rig.flush();
    rig.lane();
    rig.drain();
  };
  step([8, 3, 'math', { version: '1.0.0', methods: ['add'] }], [5, 4, 'math', 'add', null, [1, 2]]);
  const [callId] = rig.connection
    .take()
    .find(([type]) => type === 36)!
    .slice(1) as [number];
  rig.clock.advance(DELAY_MS);
  step([7, callId, null, 3]);
  t.same(rig.seen(), { delayed: ['call'], other: [] });
});
