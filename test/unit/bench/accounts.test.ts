/** The accounts that the benches of calls and workflows prove their work by: what goes wrong must show. */
import t from 'tap';
import {
  callFrame,
  MARK_ANSWERED,
  MARK_ASKED,
  MARK_OFFSET_BYTES,
  operationOf,
  returnFrame,
} from '../../../bench/rpc/operation-frames.ts';
import { ANSWER, DELIVERY, Operations } from '../../../bench/rpc/operations.ts';
import { isDisturbed, leastDisturbed, measureQuietly } from '../../../bench/support/quiet.ts';
import { answerOf, resultOf, STAGES } from '../../../bench/workflow/plan.ts';
import { StepAccount } from '../../../bench/workflow/step-account.ts';
import { writePayload } from '../../../src/cli/bench/payload.ts';
import { unpack } from '../../../src/protocol/codec.ts';

t.test('operations: a publish is over when it is acknowledged and delivered, in either order', async (t) => {
  const operations = new Operations('publish');
  const first = operations.begin(1);
  const second = operations.begin(2);
  t.notOk(operations.got(first, ANSWER));
  t.ok(operations.got(first, DELIVERY));
  t.notOk(operations.got(second, DELIVERY));
  t.ok(operations.got(second, ANSWER));
  t.equal(operations.inFlight, 0);
  t.same(operations.debts(), { unanswered: 0, lost: 0 });
});

t.test('operations: what is missing, double or refused is told apart', async (t) => {
  const operations = new Operations('publish');
  const [unanswered, lost, refused] = [operations.begin(1), operations.begin(2), operations.begin(3)];
  operations.got(unanswered, DELIVERY);
  operations.got(lost, ANSWER);
  operations.failed(refused);
  t.equal(operations.inFlight, 2);
  t.same(operations.debts(), { unanswered: 1, lost: 1 });
  t.notOk(operations.got(lost, ANSWER), 'answered twice');
  t.notOk(operations.got(99, ANSWER), 'never sent');
  t.notOk(operations.got(-1, ANSWER), 'of a cell before this one');
  t.equal(operations.duplicated, 3);
});

t.test('operations: there may be more than there was room for at first', async (t) => {
  const operations = new Operations('call');
  const COUNT = 200_000;
  for (let index = 0; index < COUNT; index++) operations.begin(index);
  for (let index = 0; index < COUNT; index++) if (!operations.got(index, ANSWER)) t.fail(`operation ${index} did not end`);
  t.equal(operations.dueUs(COUNT - 1), COUNT - 1);
  t.equal(operations.inFlight, 0);
});

t.test('payloads: the one that was sent is known, any other is not', async (t) => {
  const want = { payloadBytes: 64, runId: 7, cell: 3 };
  const { frame, payloadAt } = callFrame('echo', 'run', 64, 7);
  writePayload(frame, payloadAt, 3, 41, 1_000_000, 5);
  const valueStart = payloadAt - 2;
  const operation = (bytes: Uint8Array, mark = MARK_ASKED): number => operationOf(bytes, valueStart, bytes.length, mark, want);
  t.equal(operation(frame), 41);
  t.equal(operation(frame, MARK_ANSWERED), -1, 'did not pass the instance');
  for (const { name, offset } of [
    { name: 'magic', offset: 0 },
    { name: 'run', offset: 7 },
    { name: 'cell', offset: 11 },
    { name: 'mark', offset: MARK_OFFSET_BYTES },
    { name: 'last byte', offset: 63 },
  ]) {
    const changed = frame.slice();
    changed[payloadAt + offset]! ^= 1;
    t.equal(operation(changed), -1, name);
  }
  t.equal(operationOf(frame, valueStart, frame.length - 1, MARK_ASKED, want), -1, 'cut');

  const CALL_ID = 5 * 2 ** 32 + 9;
  const returned = returnFrame(CALL_ID, frame, valueStart, frame.length, 64);
  const message = unpack(returned.subarray(2 + 4)) as [number, number, null, Uint8Array];
  t.same(message.slice(0, 3), [7, CALL_ID, null]);
  t.equal(message[3].length, 64);
  t.equal(operationOf(returned, returned.length - 66, returned.length, MARK_ANSWERED, want), 41);
});

t.test('steps: given once and accepted once, or it shows', async (t) => {
  const WIDTH = 3;
  const account = new StepAccount(WIDTH);
  const places = [
    ...STAGES.filter((stage) => stage !== 'spawn').map((stage) => [stage, 0] as const),
    ...[0, 1, 2].map((index) => ['spawn', index] as const),
  ];
  for (const run of ['good', 'bad']) {
    for (const [stage, index] of places) {
      account.given(run, stage, index);
      account.accepted(run, stage, index);
    }
  }
  account.given('bad', 'spawn', 1);
  account.accepted('bad', 'cast', 0);
  t.same(account.counts(['good', 'bad']), { stepsLost: 0, stepsDoubled: 1, stepsNotAccepted: 0, stepsAcceptedTwice: 1 });
  t.equal(account.foreign, 0);
  t.same(account.counts(['good', 'bad', 'missing']), {
    stepsLost: 6,
    stepsDoubled: 1,
    stepsNotAccepted: 6,
    stepsAcceptedTwice: 1,
  });

  account.given('good', 'spawn', WIDTH);
  account.accepted('good', 'nowhere', 0);
  t.equal(account.foreign, 2, 'steps that there are not');
  t.ok(account.end('good', 5));
  t.notOk(account.end('good', 5), 'ended twice');
  t.equal(account.foreign, 3);
  t.equal(account.result('good'), 5);
});

t.test('a run of another input, and one that lost or swapped a part, have other results', async (t) => {
  const parts = (answerOf('cast', answerOf('sift', 4, 5), 5) as number[]).map((part) => answerOf('spawn', part, 5));
  t.equal(answerOf('stitch', parts, 5), resultOf(4, 5));
  t.not(resultOf(5, 5), resultOf(4, 5));
  t.not(answerOf('stitch', parts.slice(1), 5), resultOf(4, 5));
  t.not(answerOf('stitch', parts.toReversed(), 5), resultOf(4, 5));
});

t.test('quiet: what others disturbed is measured once more, and the better one counts', async (t) => {
  const taking = (otherCpuSeconds: number, name: string) => ({
    machine: { otherCpuSeconds, interruptSeconds: 0, stolenSeconds: 0, idleSeconds: 1 },
    elapsedSeconds: 5,
    cores: 2,
    name,
  });
  t.notOk(isDisturbed(taking(0.29, 'below 3 %')));
  t.ok(isDisturbed(taking(0.31, 'above')));
  const answers = [taking(2, 'first'), taking(1, 'second'), taking(0, 'never made')];
  const results = await measureQuietly(async () => answers.shift() as ReturnType<typeof taking>);
  t.equal(results.length, 2);
  t.equal(leastDisturbed(results)?.name, 'second');
  t.equal((await measureQuietly(async () => taking(0, 'quiet'))).length, 1);
});
