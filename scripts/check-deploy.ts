/**
 * `npm run check:deploy`: what can be checked of deploy/ without an engine or a cluster.
 *
 *   node scripts/check-deploy.ts                                     promtool and systemd-analyze are used where they are installed
 *   node scripts/check-deploy.ts --require promtool,systemd-analyze  and must be
 *
 * Each area says what is wrong, with file and place. The last line is `N passed, N failed`. test/contract/deploy.test.ts runs the same.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { composeProblems } from './deploy/compose.ts';
import { imageProblems } from './deploy/image.ts';
import { kubernetesProblems, type TextFile } from './deploy/kubernetes.ts';
import { metricProblems, type PlannedMetric } from './deploy/metrics.ts';
import { readAutoscaling, readDashboard, readRules } from './deploy/queries.ts';
import { askRealRelay, type RealRelay } from './deploy/real-relay.ts';
import { systemdAnalyzeProblems, unitProblems } from './deploy/systemd.ts';
import { fieldsOf, get, listOf, type Tree } from './deploy/tree.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const PATHS = {
  dockerfile: 'Dockerfile',
  compose: 'deploy/compose/compose.yaml',
  prometheus: 'deploy/compose/prometheus.yaml',
  kubernetes: 'deploy/kubernetes',
  schemas: 'deploy/schemas/kubernetes.json',
  dashboards: 'deploy/grafana',
  rules: ['deploy/prometheus/recording.yaml', 'deploy/prometheus/alerts.yaml'],
  ruleTests: 'deploy/prometheus/alerts.test.yaml',
  planned: 'deploy/metrics-planned.json',
  unit: 'deploy/systemd/clari-relay.service',
  workflow: '.github/workflows/ci.yml',
} as const;

export interface Area {
  readonly name: string;
  readonly problems: readonly string[];
  /** What could not be asked, and why. */
  readonly note?: string;
}

export function read(path: string): string {
  return readFileSync(ROOT + path, 'utf8');
}

export function filesUnder(folder: string, suffix: string): TextFile[] {
  return readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .sort()
    .map((name) => ({ path: `${folder}/${name}`, text: read(`${folder}/${name}`) }));
}

export const packageJson = JSON.parse(read('package.json')) as {
  readonly version: string;
  readonly optionalDependencies: Readonly<Record<string, string>>;
};

/** Probes of the manifests and the image's HEALTHCHECK ask these; each must be real. */
const OPS_PATHS = ['/livez', '/readyz', '/startupz', '/metrics'];

export async function checkDeploy(): Promise<Area[]> {
  const relay = await askRealRelay(OPS_PATHS);
  const promtool = promtoolProblems();
  const analyzed = systemdAnalyzeProblems(PATHS.unit, read(PATHS.unit));
  return [
    { name: 'image', problems: imageArea() },
    { name: 'compose', problems: composeArea() },
    { name: 'kubernetes', problems: kubernetesArea(relay) },
    { name: 'metrics: dashboard, rules and autoscaling against a running relay', problems: metricsArea(relay) },
    { name: 'promtool', problems: promtool ?? [], ...(promtool === null ? { note: NOT_INSTALLED } : {}) },
    { name: 'systemd unit', problems: unitProblems(PATHS.unit, read(PATHS.unit)) },
    { name: 'systemd-analyze', problems: analyzed ?? [], ...(analyzed === null ? { note: NOT_INSTALLED } : {}) },
    { name: 'ci workflow', problems: workflowProblems(PATHS.workflow, read(PATHS.workflow)) },
  ];
}

const NOT_INSTALLED = 'not installed, not asked';

function imageArea(): string[] {
  const ignored = read('.dockerignore').split('\n');
  const isInContext = (path: string): boolean =>
    existsSync(ROOT + path) && ignored.some((line) => line === `!${path}` || path.startsWith(`${line.slice(1)}/`));
  return imageProblems(PATHS.dockerfile, read(PATHS.dockerfile), {
    optionalDependencies: packageJson.optionalDependencies,
    isInContext,
    importsOf: (path) => relativeImports(path, read(path)),
  });
}

/** From the project's root. */
export function relativeImports(path: string, text: string): string[] {
  return [...text.matchAll(/^import [^;]*?from '(\.[^']+)';$/gms)].map(([, target = '']) =>
    posix.join(posix.dirname(path), target),
  );
}

function composeArea(): string[] {
  const exists = (path: string): boolean => existsSync(ROOT + path);
  return composeProblems(PATHS.compose, read(PATHS.compose), read(PATHS.prometheus), { version: packageJson.version, exists });
}

function kubernetesArea(relay: RealRelay): string[] {
  return kubernetesProblems(filesUnder(PATHS.kubernetes, '.yaml'), {
    schemas: JSON.parse(read(PATHS.schemas)),
    version: packageJson.version,
    opsPaths: relay.paths,
  });
}

function metricsArea(relay: RealRelay): string[] {
  const rules = PATHS.rules.map((path) => readRules(path, read(path)));
  const dashboards = filesUnder(PATHS.dashboards, '.json').map(({ path, text }) => readDashboard(path, text));
  const autoscaling = filesUnder(PATHS.kubernetes, '.yaml')
    .filter(({ path }) => path.includes('/optional/'))
    .flatMap(({ path, text }) => readAutoscaling(path, text));
  const queries = [...rules, ...dashboards].flatMap((source) => source.queries).concat(autoscaling);
  const problems = [...rules, ...dashboards].flatMap((source) => source.problems);
  const recorded = new Map(rules.flatMap((source) => [...source.recorded]));
  // Gone when nothing is planned any more.
  const planned = existsSync(ROOT + PATHS.planned) ? (listOf(JSON.parse(read(PATHS.planned)), 'metrics') as PlannedMetric[]) : [];
  return [...problems, ...metricProblems(queries, { exported: relay.metrics, planned, recorded })];
}

/** Null where it is not installed. */
function promtoolProblems(): string[] | null {
  if (spawnSync('promtool', ['--version']).error !== undefined) return null;
  return [
    ['check', 'rules', ...PATHS.rules],
    ['test', 'rules', PATHS.ruleTests],
    ['check', 'config', '--syntax-only', PATHS.prometheus],
  ].flatMap((args) => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: ROOT, encoding: 'utf8' });
    return status === 0 ? [] : [`promtool ${args.join(' ')}: ${(stdout + stderr).trim()}`];
  });
}

export function workflowProblems(path: string, text: string): string[] {
  const tree: Tree = parse(text);
  const jobs = Object.entries(fieldsOf(tree, 'jobs'));
  const steps = jobs.flatMap(([, job]) => listOf(job, 'steps'));
  const commands = steps.map((step) => get(step, 'run')).filter((run) => typeof run === 'string');
  const problems: string[] = [];
  for (const wanted of ['.ci/run', 'npm run check:deploy', 'docker build', 'npm run test:chroot'])
    if (!commands.some((command) => command.includes(wanted))) problems.push(`${path}: no step runs ${wanted}`);
  for (const [name, job] of jobs)
    if (typeof get(job, 'timeout-minutes') !== 'number')
      problems.push(`${path}: ${name}: no timeout-minutes: the default is six hours`);
  for (const step of steps) {
    const uses = get(step, 'uses');
    if (typeof uses === 'string' && !/@(v\d+|[0-9a-f]{40})$/.test(uses)) problems.push(`${path}: ${uses} has no version`);
    if (typeof uses !== 'string' && typeof get(step, 'run') !== 'string')
      problems.push(`${path}: a step with neither uses nor run`);
  }
  if (get(tree, 'permissions', 'contents') !== 'read') problems.push(`${path}: permissions must be contents: read`);
  return problems;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({ options: { require: { type: 'string', default: '' } } });
  const required = values.require.split(',').filter((name) => name !== '');
  const areas = await checkDeploy();
  let failed = 0;
  for (const { name, problems, note } of areas) {
    const all = note !== undefined && required.includes(name) ? [...problems, `${name} is required and ${note}`] : problems;
    if (all.length > 0) failed++;
    console.log(`${all.length === 0 ? 'ok  ' : 'BAD '} ${name}${note === undefined ? '' : ` (${note})`}`);
    for (const problem of all) console.log(`     ${problem}`);
  }
  console.log(`${areas.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
