/**
 * `relay workflow …`: defining workflows, starting runs, following them and steering them.
 *
 * Exit code of what waits for a run's end: 0 if it succeeded, 1 if it did not.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import type { FullClient, Run, RunEvent, RunState, StartOptions, WorkflowDefinition } from '../client/full.ts';
import { CLIENT_FLAGS, isForPeople, JSON_FLAG, payloadOf, positionOf, print, printTable, withClient } from './client-command.ts';
import { type Flag, type FlagValues, integerFlag, parse } from './flags.ts';

type Flags = Readonly<Record<string, Flag>>;

interface Action {
  readonly usage: string;
  readonly flags: Flags;
  readonly positionals: readonly [min: number, max: number];
  readonly about: string;
  readonly act: (client: FullClient, positionals: readonly string[], values: FlagValues) => Promise<number>;
}

const START_FLAGS: Flags = {
  key: { type: 'string', about: 'the same key starts one run only' },
  'deadline-ms': { type: 'string', about: 'for the whole run' },
  version: { type: 'string', about: 'of the definition; the newest without' },
  wait: { type: 'boolean', about: 'watch it to its end; exit code 1 if it does not succeed' },
};
const SINCE_FLAG: Flags = { since: { type: 'string', about: 'EPOCH:OFFSET, go on behind this event' } };
const LIST_FLAGS: Flags = {
  state: { type: 'string', about: 'running, paused, cancelling, compensating, succeeded, failed or cancelled' },
  limit: { type: 'string', about: 'so many at most, of each workflow' },
};

const steer = (verb: 'status' | 'cancel' | 'pause' | 'resume' | 'retry', about: string): Action => ({
  usage: `${verb} WORKFLOW RUN`,
  flags: {},
  positionals: [2, 2],
  about,
  act: async (client, [workflow, name]) => {
    const run = client.workflow(workflow as string).run(name as string);
    print(await run[verb]());
    return 0;
  },
});

const ACTIONS: Readonly<Record<string, Action>> = {
  define: {
    usage: 'define FILE|-',
    flags: {},
    positionals: [1, 1],
    about: 'take over a definition (JSON)',
    act: async (client, [file]) => {
      const definition = JSON.parse(readFileSync(file === '-' ? 0 : (file as string), 'utf8')) as WorkflowDefinition;
      print(await client.workflow(definition.name).define(definition));
      return 0;
    },
  },
  start: {
    usage: 'start WORKFLOW [INPUT]',
    flags: { ...START_FLAGS, ...JSON_FLAG },
    positionals: [1, 2],
    about: 'start a run',
    act: async (client, [workflow, input], values) => {
      const run = await client
        .workflow(workflow as string)
        .start(input === undefined ? null : payloadOf(input), startOptions(values));
      const { id, topic, version, duplicate, position } = run;
      print({ run: id, topic, version, duplicate, ...position });
      return values['wait'] === true ? watch(run, values) : 0;
    },
  },
  status: steer('status', 'what a run is doing'),
  watch: {
    usage: 'watch WORKFLOW RUN',
    flags: { ...SINCE_FLAG, ...JSON_FLAG },
    positionals: [2, 2],
    about: 'follow a run from its beginning to its end; exit code 1 if it does not succeed',
    act: async (client, [workflow, run], values) => {
      const since = values['since'] === undefined ? {} : { since: positionOf(values['since'] as string) };
      return watch(client.workflow(workflow as string).run(run as string, since), values);
    },
  },
  result: {
    usage: 'result WORKFLOW RUN [STAGE] [INDEX]',
    flags: {},
    positionals: [2, 4],
    about: 'what a run has come to, or one of its stages, or one part of a forEach stage',
    act: async (client, [workflow, name, stage, index]) => {
      const run = client.workflow(workflow as string).run(name as string);
      print(await run.stageResult(stage, index === undefined ? undefined : Number(index)));
      return 0;
    },
  },
  cancel: steer('cancel', 'end a run; finished stages are compensated where the definition says how'),
  pause: steer('pause', 'begin no new steps'),
  resume: steer('resume', 'go on with a paused run'),
  retry: steer('retry', 'go on with a failed run: what failed is tried again'),
  list: {
    usage: 'list [WORKFLOW|PATTERN]',
    flags: { ...LIST_FLAGS, ...JSON_FLAG },
    positionals: [0, 1],
    about: 'runs that the relay keeps',
    act: async (client, [pattern], values) => {
      const limit = integerFlag(values, 'limit');
      const runs = await client.workflow(pattern ?? '>').list({
        ...(limit === undefined ? {} : { limit }),
        ...(values['state'] === undefined ? {} : { state: values['state'] as RunState }),
      });
      if (!isForPeople(values)) for (const run of runs) print(run);
      else {
        const rows = runs.map(({ workflow, run, version, state, reason }) => [workflow, run, version, state, reason?.text ?? '']);
        printTable(['workflow', 'run', 'version', 'state', 'reason'], rows);
      }
      return 0;
    },
  },
};

export async function workflowCommand([name, ...argv]: string[]): Promise<number> {
  const action = Object.hasOwn(ACTIONS, name ?? '') ? ACTIONS[name as string] : undefined;
  if (action === undefined) {
    const isAsked = name === undefined || name === 'help' || name === '--help' || name === '-h';
    const lines = Object.values(ACTIONS).map(({ usage, about }) => `  relay workflow ${usage.padEnd(36)} ${about}\n`);
    const text = `${isAsked ? '' : `relay: no action '${name}'\n`}usage:\n${lines.join('')}`;
    (isAsked ? process.stdout : process.stderr).write(text);
    return isAsked ? 0 : 2;
  }
  const parsed = parse(`relay workflow ${action.usage}`, { ...CLIENT_FLAGS, ...action.flags }, argv, action.positionals);
  if (parsed.kind === 'exit') return parsed.code;
  return withClient(parsed.values, (client) => action.act(client, parsed.positionals, parsed.values));
}

/** Every event, until the run has ended. */
async function watch(run: Run, values: FlagValues): Promise<number> {
  const isForReading = isForPeople(values);
  let last: RunEvent | undefined;
  for await (const event of run) {
    if (isForReading) process.stdout.write(`${lineOf(event)}\n`);
    else print(event);
    last = event;
  }
  return (await run.status()).state === 'succeeded' || last?.kind === 'succeeded' ? 0 : 1;
}

/** `13:37:05.123  stepRetried  cast[3]  attempt=2 reason=…` */
function lineOf({ kind, ...event }: RunEvent): string {
  const { offset: _, atMs, stage, index, ...facts } = event as Readonly<Record<string, unknown>>;
  const time = typeof atMs === 'number' ? new Date(atMs).toISOString().slice(11, 23) : '';
  const where = stage === undefined ? '' : index === undefined ? `${stage}` : `${stage}[${index}]`;
  const more = Object.entries(facts).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [time.padEnd(12), kind.padEnd(14), where.padEnd(16), more.join(' ')].join('  ').trimEnd();
}

function startOptions(values: FlagValues): StartOptions {
  const deadlineMs = integerFlag(values, 'deadline-ms');
  const version = integerFlag(values, 'version');
  return {
    ...(values['key'] === undefined ? {} : { key: values['key'] as string }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(version === undefined ? {} : { version }),
  };
}
