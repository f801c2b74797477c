/** What an operator is told is wrong, and what not. */
import t from 'tap';
import { conditionsOf } from '../../../src/ops/conditions.ts';
import { type SampleState, sampleState } from '../../support/sample-ops.ts';

const laneComponent = (state: SampleState, lane: number) => state.health.components[lane + 1] as { ok: boolean; detail: string };
const lane = (state: SampleState, index: number) => state.lanes[index] as SampleState['lanes'][number];

for (const { name, change, want } of [
  { name: 'all is well', change: () => {}, want: [] },
  {
    name: 'a lane that the relay calls unwell is stalled, and not told twice as a component',
    change: (state: SampleState) => {
      laneComponent(state, 1).ok = false;
      lane(state, 1).silentMs = 3_210;
    },
    want: ['bad Lane 1 is stalled: no heartbeat for 3.2 s'],
  },
  {
    name: 'a lane that misses ten heartbeats is silent',
    change: (state: SampleState) => {
      lane(state, 0).silentMs = 1_001;
    },
    want: ['warn Lane 0 is silent: no heartbeat for 1.0 s'],
  },
  {
    name: 'a lane that died',
    change: (state: SampleState) => {
      lane(state, 2).state = 'replacing';
      laneComponent(state, 2).ok = false;
    },
    want: ['bad Lane 2 has died and is being replaced'],
  },
  {
    name: 'a full ring',
    change: (state: SampleState) => {
      lane(state, 0).egressUsedBytes = lane(state, 0).egressBytes * 0.85;
    },
    want: ['warn Lane 0: its rings are 85 % full'],
  },
  {
    name: 'draining is no illness of the listener',
    change: (state: SampleState) => {
      state.state = 'draining';
      Object.assign(state.health.components[0] as object, { ok: false, detail: 'draining' });
    },
    want: ['warn Draining: clients are being sent elsewhere'],
  },
  {
    name: 'a component that came later',
    change: (state: SampleState) => {
      state.health.components.push({ name: 'journal', ok: false, detail: 'disk full' });
    },
    want: ['bad journal is not well: disk full'],
  },
  {
    name: 'a service of which nothing works, and problems before notices',
    change: (state: SampleState) => {
      Object.assign(state.services[0] as object, { ok: 0, degraded: 0, failing: 3 });
      lane(state, 0).silentMs = 1_500;
    },
    want: ['bad Service billing: every instance is failing', 'warn Lane 0 is silent: no heartbeat for 1.5 s'],
  },
]) {
  t.test(`conditions: ${name}`, async (t) => {
    const state = sampleState();
    change(state);
    t.same(
      conditionsOf(state).map(({ severity, text }) => `${severity} ${text}`),
      want,
    );
  });
}

t.test('a condition keeps its key while its figures change', async (t) => {
  const keysAt = (silentMs: number): string[] => {
    const state = sampleState();
    lane(state, 0).silentMs = silentMs;
    return conditionsOf(state).map(({ key }) => key);
  };
  t.same(keysAt(1_200), keysAt(2_400));
});
