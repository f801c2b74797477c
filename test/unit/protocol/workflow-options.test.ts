/** Options of START, RUN and DEFINE: what they mean, and what is refused. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import {
  definitionValue,
  RUN_ACTIONS,
  runOptions,
  runPatternOptions,
  startOptions,
} from '../../../src/protocol/workflow-options.ts';

t.test('START: nothing said', async (t) => {
  t.same(startOptions({}), { key: null, deadlineMs: 0, version: 0 });
  t.same(startOptions({ key: null, deadlineMs: undefined, other: 1 }), { key: null, deadlineMs: 0, version: 0 });
});

t.test('START: everything said', async (t) => {
  t.same(startOptions({ key: 'k', deadlineMs: 2_592_000_000, version: 7 }), { key: 'k', deadlineMs: 2_592_000_000, version: 7 });
});

for (const { options, text } of [
  { options: { key: '' }, text: /key must be a string of 1 to 128 bytes/ },
  { options: { key: 'ü'.repeat(65) }, text: /key/ },
  { options: { key: 7 }, text: /key/ },
  { options: { deadlineMs: 0 }, text: /deadlineMs must be an integer in \[1, 2592000000\]/ },
  { options: { deadlineMs: 2_592_000_001 }, text: /deadlineMs/ },
  { options: { deadlineMs: 1.5 }, text: /deadlineMs/ },
  { options: { version: 0 }, text: /version must be an integer in \[1, 1000000000\]/ },
  { options: { version: '1' }, text: /version/ },
]) {
  t.test(`START refuses ${JSON.stringify(options)}`, async (t) => {
    t.throws(() => startOptions(options), { codeName: 'BAD_REQUEST', message: text });
  });
}

for (const { options, want } of [
  { options: { run: 'r', action: 'status' }, want: { action: 'status', run: 'r' } },
  { options: { run: 'r', action: 'cancel' }, want: { action: 'cancel', run: 'r' } },
  { options: { run: 'r', action: 'pause' }, want: { action: 'pause', run: 'r' } },
  { options: { run: 'r', action: 'resume' }, want: { action: 'resume', run: 'r' } },
  { options: { run: 'r', action: 'retry' }, want: { action: 'retry', run: 'r' } },
  { options: { run: 'r', action: 'result' }, want: { action: 'result', run: 'r', stage: null, index: null } },
  { options: { run: 'r', action: 'result', stage: 's', index: 0 }, want: { action: 'result', run: 'r', stage: 's', index: 0 } },
  { options: { action: 'list' }, want: { action: 'list', state: null, limit: 100 } },
  { options: { action: 'list', state: 'failed', limit: 1_000, run: 7 }, want: { action: 'list', state: 'failed', limit: 1_000 } },
  { options: { action: 'definition' }, want: { action: 'definition', version: 0 } },
  { options: { action: 'definition', version: 3 }, want: { action: 'definition', version: 3 } },
]) {
  t.test(`RUN means ${JSON.stringify(options)}`, async (t) => {
    t.same(runOptions(options), want);
  });
}

for (const { options, text } of [
  { options: {}, text: new RegExp(`action must be one of ${RUN_ACTIONS.join(', ')}`) },
  { options: { action: 'start', run: 'r' }, text: /action/ },
  { options: { action: ['status'], run: 'r' }, text: /action/ },
  { options: { action: 'status' }, text: /run must be a string of 1 to 64 bytes/ },
  { options: { action: 'cancel', run: 'x'.repeat(65) }, text: /run/ },
  { options: { action: 'result', run: 'r', index: 1 }, text: /index needs a stage/ },
  { options: { action: 'result', run: 'r', stage: 's', index: -1 }, text: /index/ },
  { options: { action: 'list', state: 'asleep' }, text: /state must be one of running, paused/ },
  { options: { action: 'list', limit: 0 }, text: /limit must be an integer in \[1, 1000\]/ },
  { options: { action: 'definition', version: 0 }, text: /version/ },
]) {
  t.test(`RUN refuses ${JSON.stringify(options)}`, async (t) => {
    t.throws(() => runOptions(options), { codeName: 'BAD_REQUEST', message: text });
  });
}

t.test('with a pattern RUN only lists', async (t) => {
  t.match(runPatternOptions({ action: 'list', limit: 5 }), { state: null, limit: 5 });
  t.throws(() => runPatternOptions({ action: 'status', run: 'r' }), { codeName: 'BAD_REQUEST', message: /must be 'list'/ });
});

t.test('a definition is a plain map', async (t) => {
  const value = (bytes: Uint8Array): unknown => definitionValue(bytes, 0, bytes.length);
  t.same(value(pack({ name: 'w' })), { name: 'w' });
  for (const other of [null, [], 7, 'x']) t.throws(() => value(pack(other)), { message: /must be a map/ });
  t.throws(() => value(Uint8Array.of(0x81, 0xa1, 0x61, 0xd4, 0x42, 0xff)), { message: /extension types/ });
});
