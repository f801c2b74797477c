/**
 * Writes the pages that come from code: docs/config.md from the settings' table, docs/errors.md from the codes, docs/metrics.md from what a relay exports,
 * docs/dependencies.md from the lock file.
 *
 *   node scripts/generate-docs.ts            writes what is not current, and names it
 *   node scripts/generate-docs.ts --check    writes nothing; exit code 1 if a page is not current
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { renderConfigDocs } from '../src/app/config.ts';
import { DEFAULTS } from '../src/app/config-table.ts';
import { Relay } from '../src/app/relay.ts';
import { relayReadings } from '../src/app/relay-metrics.ts';
import {
  CLOSE_CODES,
  type CloseCodeSpec,
  WIRE_ERROR_ACTIONS,
  WIRE_ERRORS,
  type WireErrorName,
  type WireErrorSpec,
} from '../src/protocol/codes.ts';

import { STAGE_NAMES, STAGES } from '../src/telemetry/stages.ts';
import { readProject, renderDependencies } from './check-dependencies.ts';

const ROOT = new URL('../', import.meta.url);
const METRIC_DOCS = await renderMetricDocs();

export const GENERATED_DOCS: readonly { readonly path: string; readonly render: () => string }[] = [
  { path: 'docs/config.md', render: renderConfigDocs },
  { path: 'docs/errors.md', render: renderErrorDocs },
  { path: 'docs/metrics.md', render: () => METRIC_DOCS },
  { path: 'docs/dependencies.md', render: () => renderDependencies(readProject()) },
];

/** Paths of the pages that are missing or differ from what the code says. */
export function staleDocs(): string[] {
  return GENERATED_DOCS.filter(({ path, render }) => readIfThere(path) !== render()).map(({ path }) => path);
}

export function renderErrorDocs(): string {
  const errors = (Object.entries(WIRE_ERRORS) as [WireErrorName, WireErrorSpec][]).sort(
    ([, left], [, right]) => left.code - right.code,
  );
  const closes = Object.entries<CloseCodeSpec>(CLOSE_CODES).sort(([, left], [, right]) => left.code - right.code);
  const errorRows = errors.map(([name, { code, retryable, text }]) =>
    row([code, `\`${name}\``, retryable ? 'yes' : 'no', text, WIRE_ERROR_ACTIONS[name]]),
  );
  const closeRows = closes.map(([name, { code, reconnect, text }]) =>
    row([code, `\`${name}\``, RECONNECT_TEXT[reconnect], text]),
  );
  return `# Codes

Generated from \`src/protocol/codes.ts\` by \`npm run docs\`; edits are overwritten. Numbers are never renumbered and never reused.

## Errors

An ERROR is \`[33, id, code, text, details]\`. Match on the code, never on the text: the text is for people and may change.
**Retryable** means that the same command, sent again later, may succeed; \`details.retryAfterMs\` says when, where that is known.

| code | name | retryable | text | what to do |
|---:|---|---|---|---|
${errorRows.join('\n')}

## Close codes

The number says what to do: 4000-4099 reconnect now and resume, 4100-4199 reconnect after the delay in the reason (\`retryAfterMs=\`), 4500-4599 do not
reconnect. Every code that is not in this table (1006 and 1001 among them) means: reconnect now.

| code | name | reconnect | meaning |
|---:|---|---|---|
${closeRows.join('\n')}
`;
}

/** From a relay that is made and never listens: what it would export with a lane in a thread. */
async function renderMetricDocs(): Promise<string> {
  const relay = new Relay({ ...DEFAULTS, lanes: 1, opsPort: 0 });
  const readings = relayReadings(relay);
  await relay.abandon();
  const rows = readings.map(({ name, type, help, values }) =>
    row([`\`${name}\``, type, Object.keys(values[0]?.labels ?? {}).join(', '), help]),
  );
  const stages = STAGE_NAMES.map((stage) => row([`\`${stage}\``, STAGES[stage]]));
  return `# Metrics

Generated from what a relay exports by \`npm run docs\`; edits are overwritten. \`GET /metrics\` on the ops port is Prometheus text: counters end in \`_total\`, times are seconds, sizes
bytes. No label names a topic or a session. Counters of the front begin with the process, those of a lane survive its replacement.

| metric | type | labels | |
|---|---|---|---|
${rows.join('\n')}

## Stages

\`relay_latency_seconds\` by \`stage\`, \`GET /latency\` (percentiles since the start and over the last 10 s, 1 min and 5 min) and \`GET /latency.hgrm?stage=&window=\`:

| stage | time |
|---|---|
${stages.join('\n')}

Pauses and delays of the process have metrics of their own. A histogram's buckets come from HDR buckets that are at most 1/128 of their value wide: a value counts in the bucket that its upper end fits into.
`;
}

const RECONNECT_TEXT: Readonly<Record<CloseCodeSpec['reconnect'], string>> = {
  now: 'now, and resume',
  'after-delay': 'after the delay',
  never: 'no',
};

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(new URL(path, ROOT), 'utf8');
  } catch {
    return null;
  }
}

function main(argv: readonly string[]): number {
  const isCheck = argv.includes('--check');
  const stale = staleDocs();
  for (const { path, render } of GENERATED_DOCS) {
    if (!stale.includes(path)) continue;
    if (isCheck) console.error(`${path} is not current: run npm run docs`);
    else {
      writeFileSync(new URL(path, ROOT), render());
      console.log(`${path} written`);
    }
  }
  return isCheck && stale.length > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = main(process.argv.slice(2));
