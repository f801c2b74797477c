/** One frame of `relay top`, for every terminal it may be in. */
import t from 'tap';
import { type FrameOptions, renderFrame } from '../../../src/cli/top-frame.ts';
import { type SampleState, sampleState } from '../../support/sample-ops.ts';

const PLAIN: FrameOptions = {
  width: 80,
  height: Number.POSITIVE_INFINITY,
  hasColor: false,
  window: '10s',
  source: '127.0.0.1:8081',
  lost: null,
};
const frame = (state: SampleState | null, options: Partial<FrameOptions> = {}): string[] =>
  renderFrame(state, { ...PLAIN, ...options });
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of.
const withoutColors = (line: string): string => line.replace(/\x1b\[[\d;]*m/g, '');

t.test('everything of a state is in a frame that is high enough', async (t) => {
  const text = frame(sampleState(), { width: 120 }).join('\n');
  for (const wanted of [
    /^relay 0\.1\.0 READY {2}up 2h 14m .* 127\.0\.0\.1:8081$/m,
    /conns 9,984\/50,000 {2}subs 1,201 {2}pub\/s 1,020 {2}dlv\/s 10,205/,
    /^publish → last write +10,200 +0\.34 +0\.79 +1\.65 +4\.13 +9\.00$/m,
    /^workflow stage +240 /m,
    /^ {3}1 running +88\.0 ms +27 % +4\.7 % +3\.8 % +388 +388 +11 +1$/m,
    /^wallboard-7 +4411 +604 KiB +2,140 ms {2}dropOldest$/m,
    /^DROPS dropOldest 18,220 {2}conflate 4,402/m,
    /^wall\.prices\.fx +17,110$/m,
    /^billing +2 +0 +1 +15 +2 +144,902 +311 +14\.8$/m,
    /^order +14 running, 4,211 succeeded, 6 failed, 2 cancelled {2}reserve 3 > charge 9\+2 > ship 2$/m,
  ])
    t.match(text, wanted);
});

for (const { width, height } of [
  { width: 80, height: 23 },
  { width: 60, height: 15 },
  { width: 200, height: 50 },
  { width: 20, height: 4 },
  { width: 1, height: 1 },
]) {
  t.test(`a frame fits ${width} columns and ${height} lines, whatever is in it, with colours and without`, async (t) => {
    const state = sampleState();
    state.slow = Array.from({ length: 500 }, (_, session) => ({ ...state.slow[0], session }) as (typeof state.slow)[number]);
    Object.assign(state.services[0] as object, { service: 'a-very-long-name.'.repeat(20) });
    for (const hasColor of [false, true]) {
      const lines = frame(state, { width, height, hasColor });
      t.ok(lines.length <= height, `${lines.length} lines`);
      for (const line of lines) t.ok([...withoutColors(line)].length <= width, line);
      t.same(
        lines.map((line) => withoutColors(line).trimEnd()),
        frame(state, { width, height }),
        'colours change no word',
      );
    }
  });
}

t.test('in 80x24 what matters most is there, and what is not is named', async (t) => {
  const text = frame(sampleState(), { height: 23 }).join('\n');
  for (const wanted of [
    /publish → last write/,
    /^ {3}2 running/m,
    /wallboard-7/,
    /… \d+ more/,
    /not shown, for want of lines: services, workflows/,
  ])
    t.match(text, wanted);
});

t.test('a stalled lane: the line under the title, and its row', async (t) => {
  const state = sampleState();
  Object.assign(state.health, { ready: false });
  Object.assign(state.health.components[2] as object, { ok: false });
  Object.assign(state.lanes[1] as object, { silentMs: 3_210 });
  const lines = frame(state, { height: 10 });
  t.match(lines[0], /NOT READY/);
  t.match(lines[1], /^! Lane 1 is stalled: no heartbeat for 3\.2 s$/);
  t.match(frame(state).join('\n'), /^ {3}1 STALLED +3,210 ms/m);
});

t.test('a relay that went away: the last figures, and since when they are old', async (t) => {
  const lost = { sinceMs: Date.UTC(2026, 0, 1, 12), reason: 'ECONNREFUSED' };
  const lines = frame(sampleState(), { lost });
  t.match(lines[0], /NOT REACHABLE/);
  t.match(lines[1], /^! not reachable since \d\d:00:00 \(ECONNREFUSED\); asking on$/);
  t.match(lines.join('\n'), /wallboard-7/);
  t.match(frame(null, { lost }), [/relay at 127\.0\.0\.1:8081/, /not reachable since/]);
});

t.test('a name cannot move the cursor or colour the screen', async (t) => {
  const state = sampleState();
  Object.assign(state.slow[0] as object, { client: '\x1b[2J\x1b[31mgone\r\n\u202e' });
  for (const hasColor of [false, true]) {
    const text = frame(state, { hasColor }).map(withoutColors).join('');
    t.match(text, /\?\[2J\?\[31mgone\?\?\?/);
    t.notMatch(text, /[\p{Cc}\p{Cf}]/u);
  }
});
