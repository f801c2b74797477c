/** Who is there: members by client, held by any number of sessions, kept for a grace time when cut off. */
import t from 'tap';
import { Presence } from '../../../src/lane/presence.ts';

const MAX = 3;

type Step =
  | { readonly enter: string; readonly session: number; readonly data?: unknown; readonly want: string }
  | { readonly leave: string; readonly session: number; readonly graceEndsAtMs?: number; readonly want: boolean }
  | { readonly expire: number; readonly want: readonly string[] };

const stories: readonly { readonly name: string; readonly steps: readonly Step[]; readonly left: readonly string[] }[] = [
  {
    name: 'one comes and goes',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { leave: 'alice', session: 1, want: true },
    ],
    left: [],
  },
  {
    name: 'the same session twice is there once',
    steps: [
      { enter: 'alice', session: 1, data: { a: 1 }, want: 'join' },
      { enter: 'alice', session: 1, data: { a: 1 }, want: 'none' },
      { leave: 'alice', session: 1, want: true },
      { leave: 'alice', session: 1, want: false },
    ],
    left: [],
  },
  {
    name: 'one client in two tabs leaves with the second',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { enter: 'alice', session: 2, want: 'none' },
      { leave: 'alice', session: 1, want: false },
      { leave: 'alice', session: 2, want: true },
    ],
    left: [],
  },
  {
    name: 'other data is an update, the same data in another map is none',
    steps: [
      { enter: 'alice', session: 1, data: { a: 1 }, want: 'join' },
      { enter: 'alice', session: 1, data: { a: 2 }, want: 'update' },
      { enter: 'alice', session: 2, data: { a: 2 }, want: 'none' },
      { enter: 'alice', session: 2, data: undefined, want: 'update' },
    ],
    left: ['alice'],
  },
  {
    name: 'a reconnect inside the grace time is no join',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { leave: 'alice', session: 1, graceEndsAtMs: 15_000, want: false },
      { expire: 14_999, want: [] },
      { enter: 'alice', session: 2, want: 'none' },
      { expire: 15_000, want: [] },
      { leave: 'alice', session: 2, want: true },
    ],
    left: [],
  },
  {
    name: 'who does not come back leaves when the grace time ends',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { leave: 'alice', session: 1, graceEndsAtMs: 15_000, want: false },
      { expire: 14_999, want: [] },
      { expire: 15_000, want: ['alice'] },
      { expire: 15_001, want: [] },
      { enter: 'alice', session: 2, want: 'join' },
    ],
    left: ['alice'],
  },
  {
    name: 'the grace time does not begin while another tab is open',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { enter: 'alice', session: 2, want: 'none' },
      { leave: 'alice', session: 1, graceEndsAtMs: 15_000, want: false },
      { expire: 20_000, want: [] },
      { leave: 'alice', session: 2, graceEndsAtMs: 40_000, want: false },
      { expire: 40_000, want: ['alice'] },
    ],
    left: [],
  },
  {
    name: 'a member in its grace time keeps its place under the bound',
    steps: [
      { enter: 'a', session: 1, want: 'join' },
      { enter: 'b', session: 2, want: 'join' },
      { enter: 'c', session: 3, want: 'join' },
      { leave: 'a', session: 1, graceEndsAtMs: 15_000, want: false },
      { enter: 'd', session: 4, want: 'full' },
      { enter: 'a', session: 5, want: 'none' },
      { leave: 'b', session: 2, want: true },
      { enter: 'd', session: 4, want: 'join' },
      { enter: 'a', session: 5, data: {}, want: 'update' },
    ],
    left: ['a', 'c', 'd'],
  },
  {
    name: 'a session that is not in it changes nothing by leaving',
    steps: [
      { enter: 'alice', session: 1, want: 'join' },
      { leave: 'alice', session: 9, want: false },
      { leave: 'bob', session: 1, want: false },
      { leave: 'alice', session: 9, graceEndsAtMs: 1, want: false },
      { expire: 100, want: [] },
    ],
    left: ['alice'],
  },
];

for (const { name, steps, left } of stories) {
  t.test(`presence: ${name}`, async (t) => {
    const presence = new Presence();
    steps.forEach((step, index) => {
      const what = `step ${index + 1}`;
      if ('enter' in step) t.equal(presence.enter(step.enter, step.session, step.data, MAX).kind, step.want, what);
      else if ('leave' in step) t.equal(presence.leave(step.leave, step.session, step.graceEndsAtMs ?? null), step.want, what);
      else
        t.same(
          presence.expire(step.expire).map(({ id }) => id),
          step.want,
          what,
        );
    });
    t.same(
      [...presence.members].map(({ id }) => id),
      left,
    );
    t.equal(presence.count, left.length);
  });
}
