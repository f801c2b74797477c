/**
 * The fold: a run made of its journal alone is the run that the engine has in memory, after every single event, whatever happened to it.
 */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { LaneContext, type OwnTopics } from '../../../../src/lane/lane-context.ts';
import { LANE_METRICS_BYTES } from '../../../../src/lane/lane-metrics.ts';
import type { StageDefinition } from '../../../../src/lane/workflows/definition.ts';
import { Engine } from '../../../../src/lane/workflows/engine.ts';
import { decodeEntry } from '../../../../src/lane/workflows/journal-entry.ts';
import { planOf } from '../../../../src/lane/workflows/plan.ts';
import { applyEvent, Run, type StartFacts } from '../../../../src/lane/workflows/run.ts';
import type { RunEvent } from '../../../../src/lane/workflows/run-event.ts';
import { pack, packMessage, unpack } from '../../../../src/protocol/codec.ts';
import { type Egress, EgressKind, PAIR_HEAD_BYTES } from '../../../../src/protocol/records.ts';
import { LANE_DEFAULTS } from '../../../support/options.ts';
import { type Any, concat, stage } from './workflow-rig.ts';

const SEEDS = 60;
const TURNS = 120;
const UNDO = { compensate: { service: 's', method: 'undo' } };

const STAGES: readonly (readonly StageDefinition[])[] = [
  [
    stage('a', UNDO),
    stage('b', { ...UNDO, forEach: 'a', concurrency: 3 }),
    stage('c', { input: 'b', ...UNDO }),
    stage('d', { after: ['c'] }),
  ],
  [
    stage('a', { forEach: 'input', join: { quorum: 2 }, ...UNDO }),
    stage('b', { forEach: 'input', join: { deadlineMs: 300 } }),
    stage('c', { input: { a: 'a', b: 'b' }, retries: { max: 1 } }),
  ],
];

/** The lane's egress: journal entries and calls, nothing else is looked at. */
class Taps implements Egress {
  readonly payloadBytesMax = 524_272;
  readonly bytes = new Uint8Array(this.payloadBytesMax);
  readonly view = new DataView(this.bytes.buffer);
  readonly entries: Uint8Array[] = [];
  readonly calls = new Set<number>();
  #kind = 0;

  claim(kind: number): number {
    this.#kind = kind;
    return 0;
  }

  commit(payloadBytes: number): void {
    const body = this.bytes.slice(PAIR_HEAD_BYTES, payloadBytes);
    if (this.#kind === EgressKind.JOURNAL) this.entries.push(body.slice(this.view.getUint32(4, true)));
    if (this.#kind === EgressKind.REQUEST) {
      const [type, id] = unpack(body) as Any[];
      if (type === 5) this.calls.add(id);
    }
  }
}

const TOPICS: OwnTopics = {
  publishOwn: () => ({ epoch: 'e', offset: 1 }),
  ownPosition: () => ({ epoch: 'e', offset: 0 }),
  hasRoomForOwn: () => true,
  rebuildOwn: () => {},
};

for (let seed = 1; seed <= SEEDS; seed++) {
  t.test(`the journal's run is the engine's (seed ${seed})`, async (t) => {
    const prng = new Prng(seed, 5);
    const taps = new Taps();
    const lane = new LaneContext({ ...LANE_DEFAULTS, seed }, taps, new Float64Array(LANE_METRICS_BYTES / 8));
    lane.nowMs = 1_700_000_000_000.25;
    const engine = new Engine(lane, TOPICS, { onEnded: () => {}, onRoomWanted: () => {} });
    const plan = planOf({ name: 'w', version: 1, stages: prng.pick(STAGES) }, 60_000);
    const live = engine.start(
      plan,
      'r',
      prng.nextBoolean() ? 'k' : null,
      prng.nextBoolean(0.3) ? 5_000 : null,
      Uint8Array.from(pack([1, 2, 3, 4])),
    );
    let folded: Run | null = null;
    const compare = (): void => {
      for (const entry of taps.entries.splice(0)) {
        const decoded = decodeEntry(entry, 0, entry.length);
        if (decoded.kind !== 'run') throw new Error('only runs are journaled here');
        const event = unpack(decoded.event) as RunEvent;
        if (event.kind === 'started') folded = new Run(plan, event, decoded.facts as StartFacts, decoded.data);
        else applyEvent(folded as Run, event, decoded.data);
      }
      t.strictSame(folded, live.run);
    };
    engine.begin(live);
    compare();
    for (let turn = 0; turn < TURNS; turn++) {
      const dice = prng.nextFloat();
      const { name } = live.run.state;
      if (dice < 0.6 && taps.calls.size > 0) {
        const id = prng.pick([...taps.calls]);
        if (prng.nextBoolean(0.9)) taps.calls.delete(id);
        const result = prng.pick([null, ['x', 'y'], 'text', { of: id }, []]);
        const reply = prng.nextBoolean(0.8)
          ? concat(packMessage(37, id, false).with(0, 0x94), pack(result))
          : packMessage(
              33,
              id,
              prng.pick([106, 108, 120, 100]),
              'no',
              prng.pick([null, { code: 'E', text: 'x\ud800' }, { retryAfterMs: 7.5 }]),
            );
        lane.bytes = reply;
        lane.end = reply.length;
        engine.calls.replies(0);
      } else if (dice < 0.64 && name === 'running') engine.pause(live);
      else if (dice < 0.75 && name === 'paused') engine.resume(live);
      else if (dice < 0.66 && (name === 'running' || name === 'paused')) engine.cancel(live);
      else if (dice < 0.9 && name === 'failed') engine.retry(live);
      else {
        lane.nowMs += prng.nextInt(0, 400);
        lane.timers.run(lane.nowMs);
      }
      compare();
    }
  });
}
