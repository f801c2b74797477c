/** Flags of `relay bench`: what is accepted, and that everything wrong is said at once. Assertions on figures. */

import process from 'node:process';
import t from 'tap';
import { failedAssertions, METRIC_NAMES, parseAssertions } from '../../../src/cli/bench/assertions.ts';
import { BenchOptionsError, completeOptions, DEFAULTS, helpText, parseFlags } from '../../../src/cli/bench/options.ts';
import type { BenchResult } from '../../../src/cli/bench/result.ts';

t.test('no flags give the defaults', async (t) => {
  const { options, problems } = parseFlags([]);
  t.strictSame(problems, []);
  t.strictSame(options, DEFAULTS);
});

t.test('every flag reaches its option', async (t) => {
  const { options, problems } = parseFlags(
    (
      '--url ws://10.0.0.1:9000/v1/connect --connections 500 --rooms 50 --publishers 2 --rate 12.5 --payload 64 --duration 3 --warmup 0 ' +
      '--processes 3 --mode churn --target relay --json - --hgrm out.hgrm --seed 7 --connect-rate 100 --no-acks --slow-share 0.5 ' +
      `--churn-rate 5 --away-ms 10 --tick-us 500 --token a.b.c --pid ${process.pid} --assert p99<5,lost=0`
    ).split(' '),
  );
  t.strictSame(problems, []);
  const { assertions, ...rest } = options;
  t.strictSame(rest, {
    url: 'ws://10.0.0.1:9000/v1/connect',
    target: 'relay',
    mode: 'churn',
    connections: 500,
    rooms: 50,
    publishers: 2,
    rate: 12.5,
    payloadBytes: 64,
    durationSeconds: 3,
    warmupSeconds: 0,
    processes: 3,
    connectRate: 100,
    acks: false,
    slowShare: 0.5,
    churnRate: 5,
    awayMs: 10,
    tickUs: 500,
    seed: 7,
    token: 'a.b.c',
    pid: process.pid,
    jsonPath: '-',
    hgrmPath: 'out.hgrm',
  });
  t.strictSame(
    assertions.map(({ metric, operator, bound }) => [metric.name, operator, bound]),
    [
      ['p99', '<', 5],
      ['lost', '=', 0],
    ],
  );
});

t.test('mode fanout means one room unless told otherwise', async (t) => {
  t.equal(parseFlags(['--mode', 'fanout']).options.rooms, 1);
  t.equal(completeOptions({ mode: 'fanout' }).rooms, 1);
});

for (const { name, flags, want } of [
  { name: 'a word', flags: '--connections many', want: "--connections must be an integer in [1, 200000], got 'many'" },
  {
    name: 'a fraction where a whole number is due',
    flags: '--rooms 2.5',
    want: "--rooms must be an integer in [1, 200000], got '2.5'",
  },
  { name: 'an empty number', flags: '--seed=', want: "--seed must be an integer in [0, 4294967295], got ''" },
  {
    name: 'a payload too small for the header',
    flags: '--payload 31',
    want: "--payload must be an integer in [32, 1048576], got '31'",
  },
  { name: 'a negative rate', flags: '--rate -1', want: "--rate must be a number in [0.1, 1000000], got '-1'" },
  { name: 'infinity', flags: '--duration Infinity', want: "--duration must be a number in [0.1, 3600], got 'Infinity'" },
  { name: 'a flag without its value', flags: '--rate --rooms 5', want: '--rate needs a value' },
  { name: 'a last flag without its value', flags: '--rate', want: '--rate needs a value' },
  { name: 'an unknown flag', flags: '--room 5', want: '--room is not a flag of relay bench; see --help' },
  {
    name: 'a name that every object has',
    flags: '--constructor 5',
    want: '--constructor is not a flag of relay bench; see --help',
  },
  { name: 'an unknown short flag', flags: '-x', want: '-x is not a flag of relay bench; see --help' },
  { name: 'a stray word', flags: 'rooms', want: "'rooms' is not expected: every setting is a --flag" },
  { name: 'a flag given twice', flags: '--rate 5 --rate 6', want: '--rate is given twice' },
  { name: 'a value for --no-acks', flags: '--no-acks=1', want: "--no-acks takes no value, got '1'" },
  {
    name: 'an unknown mode',
    flags: '--mode storm',
    want: "--mode must be one of fanout, rooms, churn, slow, reconnect, got 'storm'",
  },
  {
    name: 'an unknown target',
    flags: '--target mqtt',
    want: "--target must be one of relay, raw, socket.io, nats, got 'mqtt'",
  },
  { name: 'a pid that is no number', flags: '--pid self', want: "--pid must be a process id, got 'self'" },
  { name: 'a pid without a process', flags: '--pid 4194999', want: '--pid: there is no process 4194999' },
  { name: 'no URL', flags: '--url localhost', want: "--url must be a ws:// address, got 'localhost'" },
  { name: 'TLS', flags: '--url wss://h/', want: '--url: wss is not supported; TLS would be measured, not the relay' },
  { name: 'a URL with a user', flags: '--url ws://me@h/', want: '--url must have no user and no #fragment' },
  { name: 'fanout with rooms', flags: '--mode fanout --rooms 2', want: '--mode fanout has one room, got --rooms 2' },
  {
    name: 'more rooms than connections',
    flags: '--connections 10 --rooms 11',
    want: '--rooms must not be more than --connections: 11 rooms, 10 connections',
  },
  {
    name: 'more publishers than members',
    flags: '--connections 10 --rooms 5 --publishers 3',
    want: '--publishers: 5 rooms of 3 publishers need 15 connections, got 10',
  },
  {
    name: 'more processes than connections',
    flags: '--connections 2 --rooms 1 --processes 3',
    want: '--processes must not be more than --connections: 3, 2',
  },
  {
    name: 'recovery from a server without history',
    flags: '--target raw --mode reconnect',
    want: '--mode reconnect needs --target relay: raw has nothing to recover from',
  },
  {
    name: 'acks of a server without acks',
    flags: '--target raw --no-acks',
    want: '--no-acks needs --target relay: raw has no acks',
  },
  {
    name: 'recovery from a peer',
    flags: '--target nats --mode reconnect',
    want: '--mode reconnect needs --target relay: nats has nothing to recover from',
  },
  { name: 'a run without a publish', flags: '--rate 0.1 --duration 1', want: '--rate 0.1 for 1 s publishes nothing' },
  {
    name: 'more messages than ids',
    flags: '--rate 1000000 --duration 3600 --warmup 3600',
    want: '--rate and --duration together are more than 2^32 messages',
  },
  { name: 'a distribution on stdout', flags: '--hgrm -', want: '--hgrm needs a file name: stdout is taken by the figures' },
  { name: 'server CPU without a pid', flags: '--assert cpuUsPerDelivery<10', want: '--assert: cpuUsPerDelivery needs --pid' },
  {
    name: 'an assertion without a number',
    flags: '--assert p99<fast',
    want: "--assert: 'p99<fast' is not of the form name<number; operators: <= >= != < > =",
  },
  {
    name: 'an assertion on nothing known',
    flags: '--assert p98<5',
    want: `--assert: 'p98' is no figure; known: ${METRIC_NAMES.join(' ')}`,
  },
]) {
  t.test(`flags: ${name} is refused`, async (t) => {
    t.strictSame(parseFlags(flags.split(' ')).problems, [want]);
  });
}

t.test('all problems are said at once', async (t) => {
  const { problems } = parseFlags('--rate fast --nope --mode x --connections 3 --rooms 4'.split(' '));
  t.strictSame(problems, [
    "--rate must be a number in [0.1, 1000000], got 'fast'",
    '--nope is not a flag of relay bench; see --help',
    "--mode must be one of fanout, rooms, churn, slow, reconnect, got 'x'",
    '--rooms must not be more than --connections: 4 rooms, 3 connections',
  ]);
});

t.test('completeOptions checks what a program gives and throws with every problem', async (t) => {
  t.equal(completeOptions({ rate: 50 }).rate, 50);
  try {
    completeOptions({ connectRate: 0, payloadBytes: 1.5 });
    t.fail('it must throw');
  } catch (error) {
    t.ok(error instanceof BenchOptionsError);
    t.equal((error as BenchOptionsError).problems.length, 2);
  }
});

t.test('the help names every flag', async (t) => {
  const help = helpText();
  for (const flag of ['--connections', '--assert', '--pid', '--no-acks', '--tick-us', '--hgrm']) t.match(help, flag);
});

/** Only what the assertions below look at. */
const RESULT = {
  latencyMs: { p50: 1, p95: 2, p99: 5, p999: 8, max: 9 },
  lost: 0,
  publishErrorsByCode: { 105: 2, 106: 3 },
  cpuUsPerDelivery: null,
} as unknown as BenchResult;

for (const { text, failed } of [
  { text: 'p99<5', failed: ['p99<5'] },
  { text: 'p99<=5', failed: [] },
  { text: 'p99>=5, p50 > 0.5', failed: [] },
  { text: 'lost=0,p999<8', failed: ['p999<8'] },
  { text: 'lost!=0', failed: ['lost!=0'] },
  { text: 'publishErrors=5', failed: [] },
  { text: 'cpuUsPerDelivery<1000', failed: ['cpuUsPerDelivery<1000'] },
]) {
  t.test(`assertion '${text}' fails ${failed.length} times`, async (t) => {
    const { assertions, problems } = parseAssertions(text);
    t.strictSame(problems, []);
    t.strictSame(
      failedAssertions(assertions, RESULT).map((failure) => failure.text),
      failed,
    );
  });
}

t.test('a failed assertion carries the figure', async (t) => {
  t.strictSame(failedAssertions(parseAssertions('p99<5').assertions, RESULT), [{ text: 'p99<5', value: 5 }]);
});
