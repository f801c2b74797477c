/** The contract of GET /ops/state: the sample keeps it, and the check finds what does not. */
import t from 'tap';
import { opsStateProblems } from '../../support/ops-state-check.ts';
import { sampleState } from '../../support/sample-ops.ts';

t.test('test/fixtures/ops-state.json is a state', async (t) => {
  t.same(opsStateProblems(sampleState()), []);
});

for (const { name, change, want } of [
  {
    name: 'a field is missing',
    change: { subscriptions: undefined },
    want: '$.subscriptions must be a whole number, got undefined',
  },
  { name: 'a field nobody knows', change: { secrets: 1 }, want: '$.secrets is not in the contract' },
  { name: 'a figure that was none', change: { rates: null }, want: '$.rates must be an object, got null' },
  { name: 'another state', change: { state: 'fine' }, want: '$.state must be one of new, ready, draining, stopped, got "fine"' },
  {
    name: 'a percentile beyond 100',
    change: { percentiles: { publishToLastWrite: [[101, 1]] } },
    want: '$.percentiles.publishToLastWrite[0][0] must be a number in [0, 100], got 101',
  },
  { name: 'a list that is none', change: { lanes: {} }, want: '$.lanes must be a list, got {}' },
]) {
  t.test(`the check finds: ${name}`, async (t) => {
    t.match(opsStateProblems({ ...sampleState(), ...change }), [want]);
  });
}

t.test('the check looks into every row, and allows what may be missing', async (t) => {
  const state = sampleState();
  Object.assign(state.lanes[1] as object, { utilisation: 1.5 });
  delete (state.services[0] as { list?: unknown }).list;
  delete (state.latency.stages as { call?: unknown }).call;
  t.same(opsStateProblems(state), ['$.lanes[1].utilisation must be a number in [0, 1], got 1.5']);
});
