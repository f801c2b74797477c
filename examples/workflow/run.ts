/**
 * SIFT -> CAST -> SPAWN -> STITCH: starts a relay and the services as processes of their own, runs the workflow once over this project's
 * documentation, and shows how it gets on.
 *
 *   node examples/workflow/run.ts [--url URL] [--instances 3] [--pace-ms 150] [--keyword relay]
 *
 * `--url` uses a relay that is running already. Exit code 0 if the run succeeded, 1 otherwise.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createClient, type FullClient, type WorkflowDefinition } from '../../src/client/full.ts';
import { Progress } from './progress.ts';
import type { Digest, DigestInput } from './types.ts';

const ROOT = new URL('../../', import.meta.url);
/** A run's input is one message, and the relay takes 64 KiB. */
const INPUT_CHARACTERS_MAX = 40_000;
/** Then a process that was told to stop is killed. */
const STOP_MS_MAX = 3_000;

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    instances: { type: 'string', default: '3' },
    'pace-ms': { type: 'string', default: '150' },
    keyword: { type: 'string', default: 'relay' },
  },
});
const children: ChildProcess[] = [];

process.once('SIGINT', () => void stopAll().then(() => process.exit(130)));
process.once('SIGTERM', () => void stopAll().then(() => process.exit(143)));
try {
  process.exitCode = await main();
} finally {
  await stopAll();
}

async function main(): Promise<number> {
  const url = values.url ?? (await startRelay());
  await Promise.all([
    ...['sift', 'cast', 'stitch'].map((name) => startService(name, url)),
    ...Array.from({ length: Number(values.instances) }, () => startService('spawn', url)),
  ]);
  const client = createClient({ url, client: 'demo' });
  await client.connect();
  try {
    return await runOnce(client, url);
  } finally {
    await client.close();
  }
}

async function runOnce(client: FullClient, url: string): Promise<number> {
  const definition = JSON.parse(readFileSync(new URL('definition.json', import.meta.url), 'utf8')) as WorkflowDefinition;
  const workflow = client.workflow(definition.name);
  await workflow.define(definition);
  const input: DigestInput = { documents: documents(), keyword: values.keyword, paceMs: Number(values['pace-ms']) };
  const run = await workflow.start<Digest>(input);
  console.log(`run ${run.id}; from another terminal: bin/relay workflow watch --url ${url} ${workflow.name} ${run.id}\n`);
  const progress = new Progress(definition.stages.map(({ name }) => name));
  for await (const event of run) {
    progress.take(event);
    if (event.kind === 'failed') {
      console.log(`\nfailed: ${event.reason.serviceCode ?? event.reason.code}: ${event.reason.text}`);
      return 1;
    }
    if (event.kind === 'cancelled') return 1;
  }
  const digest = await run.result();
  console.log(`\n${digest.wordCount} words, ${digest.distinctCount} different ones; ${digest.droppedCount} documents sifted out`);
  for (const { name, parts, words } of digest.documents)
    console.log(`  ${name.padEnd(44)} ${parts} ${parts === 1 ? 'part' : 'parts'}, ${words} words`);
  console.log(`  most frequent: ${digest.top.map(([word, count]) => `${word} ${count}`).join(', ')}`);
  return 0;
}

/** Services before the relay: they deregister and finish what they have begun. */
async function stopAll(): Promise<void> {
  for (const child of children.splice(0).reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    child.kill('SIGTERM');
    await once(child, 'exit');
    clearTimeout(timer);
  }
}

/** As many of the project's pages as fit into one message, small ones first. */
function documents(): DigestInput['documents'] {
  const pages = readdirSync(new URL('docs/', ROOT), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => ({ name: `docs/${name}`, text: readFileSync(new URL(`docs/${name}`, ROOT), 'utf8') }))
    .sort((one, other) => one.text.length - other.text.length || (one.name < other.name ? -1 : 1));
  let characters = 0;
  return pages.filter(({ text }) => {
    characters += text.length;
    return characters <= INPUT_CHARACTERS_MAX;
  });
}

/** Its address, from the line in which it says that it listens. */
async function startRelay(): Promise<string> {
  const cli = fileURLToPath(new URL('src/cli/main.ts', ROOT));
  const relay = start([cli, 'serve', '--port', '0', '--ops-port', '0'], 'stderr');
  const url = await relay.find(/listening on (ws:[^\s"]+)/);
  console.log(`relay: ${url}`);
  return url;
}

async function startService(name: string, url: string): Promise<void> {
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  console.log(await start([file, url], 'stdout').find(/(.*serving as.*)/));
}

/** A process of the demo's; `find` waits for a line of its output and answers with what the pattern captures there. */
function start(args: readonly string[], output: 'stdout' | 'stderr'): { find(pattern: RegExp): Promise<string> } {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: ['ignore', output === 'stdout' ? 'pipe' : 'ignore', output === 'stderr' ? 'pipe' : 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child[output] as NodeJS.ReadableStream });
  return {
    find: (pattern) =>
      new Promise((resolve, reject) => {
        lines.on('line', (line) => {
          const found = pattern.exec(line)?.[1];
          if (found !== undefined) resolve(found);
        });
        child.once('exit', (code) => reject(new Error(`${args[0]} ended with ${code} before it was ready`)));
      }),
  };
}
