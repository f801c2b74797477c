/** Each check of scripts/deploy/ finds what it is for: our own files, with one thing broken. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { filesUnder, PATHS, packageJson, read, relativeImports, workflowProblems } from '../../../scripts/check-deploy.ts';
import { composeProblems } from '../../../scripts/deploy/compose.ts';
import { parseDockerfile } from '../../../scripts/deploy/dockerfile.ts';
import { imageProblems } from '../../../scripts/deploy/image.ts';
import { kubernetesProblems } from '../../../scripts/deploy/kubernetes.ts';
import { metricProblems } from '../../../scripts/deploy/metrics.ts';
import { usesOf } from '../../../scripts/deploy/promql.ts';
import { readDashboard, readRules } from '../../../scripts/deploy/queries.ts';
import { parseExposition } from '../../../scripts/deploy/real-relay.ts';
import { secondsOf } from '../../../scripts/deploy/settings.ts';
import { unitProblems } from '../../../scripts/deploy/systemd.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Broken {
  readonly name: string;
  /** In the file that is broken; it must be there. */
  readonly text: string;
  readonly instead: string;
  readonly want: RegExp;
}

function breakText(source: string, { name, text, instead }: Broken): string {
  if (!source.includes(text)) throw new Error(`${name}: the file has no ${text}`);
  return source.replace(text, instead);
}

/** One problem at least, and the first is the one that is meant. */
function foundIt(t: Test, problems: readonly string[], want: RegExp): void {
  t.ok(
    problems.some((problem) => want.test(problem)),
    `${want} in:\n${problems.join('\n')}`,
  );
}

// ---- Kubernetes

const manifests = filesUnder(PATHS.kubernetes, '.yaml');
const kubernetesFacts = {
  schemas: JSON.parse(read(PATHS.schemas)),
  version: packageJson.version,
  opsPaths: new Set(['/readyz', '/livez', '/startupz']),
};

t.test('kubernetes: as it is, nothing is wrong', async (t) => {
  t.same(kubernetesProblems(manifests, kubernetesFacts), []);
});

for (const broken of [
  {
    name: 'a misspelt field',
    text: 'readinessProbe:',
    instead: 'readynessProbe:',
    want: /additional properties.*readynessProbe/,
  },
  {
    name: 'a wrong type',
    text: 'periodSeconds: 2',
    instead: 'periodSeconds: soon',
    want: /readinessProbe\/periodSeconds must be/,
  },
  {
    name: 'a grace period that the drain does not fit into',
    text: 'terminationGracePeriodSeconds: 30',
    instead: 'terminationGracePeriodSeconds: 24',
    want: /is 24, a stop takes up to 25: preStop 5 \+ drainDeadlineMs 15000 \+ closeTimeoutMs 5000/,
  },
  {
    name: 'a drain that outgrew the grace period',
    text: 'RELAY_DRAIN_DEADLINE_MS: "15000"',
    instead: 'RELAY_DRAIN_DEADLINE_MS: "25000"',
    want: /terminationGracePeriodSeconds is 30, a stop takes up to 35/,
  },
  { name: 'a setting that is none', text: 'RELAY_LANES:', instead: 'RELAY_LANE:', want: /RELAY_LANE\b/ },
  { name: 'a value out of bounds', text: 'RELAY_LANES: "1"', instead: 'RELAY_LANES: "99"', want: /RELAY_LANES/ },
  { name: 'a bad topic rule in the file', text: '"match": ">"', instead: '"match": "a..b"', want: /a\.\.b/ },
  { name: 'a file that is not mounted', text: 'relay.json\n---', instead: 'other.json\n---', want: /other\.json.*not mounted/ },
  {
    name: 'a probe of a path that is not there',
    text: 'path: /livez',
    instead: 'path: /healthz',
    want: /does not answer \/healthz/,
  },
  {
    name: 'the ops port in the Service',
    text: 'targetPort: ws',
    instead: 'targetPort: ops',
    want: /ops port must not be reached/,
  },
  { name: 'the ops port by number', text: 'targetPort: ws', instead: 'targetPort: 8081', want: /ops port must not be reached/ },
  {
    name: 'a Service of nobody',
    text: 'selector:\n    app.kubernetes.io/name: clari-relay\n  # No',
    instead: 'selector:\n    app: x\n  # No',
    want: /selects no pod/,
  },
  {
    name: 'a relay without keys',
    text: 'RELAY_AUTH_KEYS_FILE: /etc',
    instead: 'RELAY_AUTH_KEYS_FIL: /etc',
    want: /host must be a loopback address, unless one of authKeysFile/,
  },
  {
    name: 'an ops port without its token',
    text: 'RELAY_OPS_TOKEN_FILE: /etc/clari-relay-secrets/ops-token',
    instead: 'RELAY_OPS_TOKEN_FILE: ""',
    want: /opsHost must be a loopback address, unless opsToken/,
  },
  {
    name: 'keys that are not mounted',
    text: 'RELAY_AUTH_KEYS_FILE: /etc/clari-relay-secrets/',
    instead: 'RELAY_AUTH_KEYS_FILE: /etc/keys/',
    want: /keys\.json could not be read: not mounted/,
  },
  { name: 'a writable root', text: 'readOnlyRootFilesystem: true', instead: 'readOnlyRootFilesystem: false', want: /read-only/ },
  { name: 'service links', text: 'enableServiceLinks: false', instead: 'enableServiceLinks: true', want: /enableServiceLinks/ },
  {
    name: 'an ops port open to all',
    text: '    - from:\n        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: monitoring\n      ports',
    instead: '    - ports',
    want: /ops port is open to all/,
  },
  {
    name: 'an autoscaler of something else',
    text: 'kind: Deployment\n    name: clari-relay',
    instead: 'kind: Deployment\n    name: relay',
    want: /does not scale clari-relay/,
  },
  {
    name: 'a manifest that is not applied',
    text: '  - networkpolicy.yaml\n',
    instead: '',
    want: /networkpolicy\.yaml is not among its resources/,
  },
  {
    name: 'a kind without a schema',
    text: 'kind: PodDisruptionBudget',
    instead: 'kind: PodDisruptionBudge',
    want: /no schema for policy\/v1\/PodDisruptionBudge/,
  },
  {
    name: 'no YAML',
    text: 'maxUnavailable: 1\n  # A relay',
    instead: 'maxUnavailable: [1\n  # A relay',
    want: /poddisruptionbudget\.yaml: /,
  },
] satisfies Broken[]) {
  t.test(`kubernetes: ${broken.name} is found`, async (t) => {
    const index = manifests.findIndex(({ text }) => text.includes(broken.text));
    const file = manifests[index];
    if (file === undefined) throw new Error(`no manifest has ${broken.text}`);
    foundIt(
      t,
      kubernetesProblems(manifests.with(index, { ...file, text: breakText(file.text, broken) }), kubernetesFacts),
      broken.want,
    );
  });
}

// ---- Compose

const composeFacts = { version: packageJson.version, exists: (path: string) => existsSync(ROOT + path) };

for (const broken of [
  {
    name: 'a short stop',
    text: 'stop_grace_period: 25s',
    instead: 'stop_grace_period: 10s',
    want: /stop_grace_period is 10s, a stop takes up to 20 s/,
  },
  {
    name: 'the ops port in public',
    text: '"127.0.0.1:8080:8080"',
    instead: '"127.0.0.1:8080:8080"\n      - "127.0.0.1:8081:8081"',
    want: /ops port must not be published/,
  },
  { name: 'a port for the world', text: '"127.0.0.1:8080:8080"', instead: '"8080:8080"', want: /127\.0\.0\.1 only/ },
  {
    name: 'a secret that the relay does not get',
    text: 'secrets: [relay_keys, relay_ops_token]',
    instead: 'secrets: [relay_ops_token]',
    want: /relay_keys could not be read: no file/,
  },
  {
    name: 'a secret that is none',
    text: '  relay_keys:\n    file',
    instead: '  relay_key:\n    file',
    want: /relay: no secret relay_keys/,
  },
  {
    name: 'a Prometheus without the token',
    text: '    secrets: [relay_ops_token]\n    networks: [ops]',
    instead: '    networks: [ops]',
    want: /prometheus does not give the token in \/run\/secrets\/relay_ops_token/,
  },
  { name: 'an image of the day', text: 'grafana/grafana:11.1.0', instead: 'grafana/grafana:latest', want: /must have a version/ },
  {
    name: 'a file that is gone',
    text: '../prometheus/alerts.yaml',
    instead: '../prometheus/alarms.yaml',
    want: /there is no deploy\/prometheus\/alarms\.yaml/,
  },
  { name: 'few open files', text: 'soft: 65536', instead: 'soft: 1024', want: /nofile is 1024/ },
  { name: 'a misspelt key', text: 'read_only: true', instead: 'readonly: true', want: /readonly is not known/ },
] satisfies Broken[]) {
  t.test(`compose: ${broken.name} is found`, async (t) => {
    const source = read(PATHS.compose);
    t.same(composeProblems(PATHS.compose, source, read(PATHS.prometheus), composeFacts), [], 'before');
    foundIt(t, composeProblems(PATHS.compose, breakText(source, broken), read(PATHS.prometheus), composeFacts), broken.want);
  });
}

// ---- systemd, the image, CI

for (const broken of [
  {
    name: 'a short stop',
    text: 'TimeoutStopSec=25',
    instead: 'TimeoutStopSec=15',
    want: /TimeoutStopSec is 15, a stop takes up to 20 s/,
  },
  {
    name: 'few open files',
    text: 'LimitNOFILE=65536',
    instead: 'LimitNOFILE=4096',
    want: /LimitNOFILE is 4096, connectionsMax 50000/,
  },
  { name: 'root', text: 'DynamicUser=yes', instead: 'User=root', want: /somebody else than root/ },
  { name: 'another signal', text: 'KillSignal=SIGTERM', instead: 'KillSignal=SIGHUP', want: /KillSignal must be SIGTERM/ },
  { name: 'an unknown flag', text: 'main.js serve', instead: 'main.js serve --prot 1', want: /--prot/ },
] satisfies Broken[]) {
  t.test(`systemd: ${broken.name} is found`, async (t) =>
    foundIt(t, unitProblems('unit', breakText(read(PATHS.unit), broken)), broken.want),
  );
}

for (const broken of [
  { name: 'root', text: 'USER 10001:10001', instead: 'USER root', want: /USER must be a number/ },
  {
    name: 'a shell as process 1',
    text: 'ENTRYPOINT ["node", "--max-semi-space-size=2", "dist/server/main.js"]',
    instead: 'ENTRYPOINT node dist/server/main.js',
    want: /exec form/,
  },
  {
    name: 'a Node without uWebSockets.js',
    text: 'NODE_IMAGE=node:24-',
    instead: 'NODE_IMAGE=node:25-',
    want: /no @uwsjs\/linux-x64-25/,
  },
  {
    name: 'an old glibc',
    text: 'BASE_IMAGE=debian:trixie-slim',
    instead: 'BASE_IMAGE=debian:bookworm-slim',
    want: /must be of debian:trixie-slim/,
  },
  {
    name: 'a file outside the context',
    text: 'COPY package.json LICENSE ./',
    instead: 'COPY package.json README.md ./',
    want: /COPY README\.md/,
  },
  {
    name: 'a file that a copied one imports',
    text: 'COPY scripts/build-server.ts scripts/build-ops-page.ts ./scripts/',
    instead: 'COPY scripts/build-server.ts ./scripts/',
    want: /build-server\.ts imports scripts\/build-ops-page\.ts, which no COPY brings/,
  },
  {
    name: 'an instruction that nobody tries',
    text: 'STOPSIGNAL SIGTERM',
    instead: 'VOLUME /data',
    want: /VOLUME is not understood/,
  },
] satisfies Broken[]) {
  t.test(`image: ${broken.name} is found`, async (t) => {
    const isInContext = (path: string): boolean => path !== 'README.md';
    const problemsOf = (text: string): string[] => {
      try {
        return imageProblems('Dockerfile', text, {
          optionalDependencies: packageJson.optionalDependencies,
          isInContext,
          importsOf: (path) => relativeImports(path, read(path)),
        });
      } catch (error) {
        return [(error as Error).message];
      }
    };
    t.same(problemsOf(read(PATHS.dockerfile)), [], 'before');
    foundIt(t, problemsOf(breakText(read(PATHS.dockerfile), broken)), broken.want);
  });
}

t.test('image: continued lines, comments between them and build arguments are read', async (t) => {
  const [stage] = parseDockerfile(
    'ARG A=debian:x\nFROM $' +
      '{A} AS b\nRUN one \\\n# why\n && two\nCOPY --from=z /a ./c\nHEALTHCHECK --interval=5s CMD ["node", "x"]\n',
  );
  t.match(stage, {
    name: 'b',
    base: 'debian:x',
    instructions: [
      { kind: 'run', command: /^one +&& two$/ },
      { kind: 'copy', from: 'z', sources: ['/a'], target: './c' },
      { kind: 'healthcheck', options: { interval: '5s' }, argv: ['node', 'x'] },
    ],
  });
});

for (const broken of [
  { name: 'a job that may run for hours', text: '    timeout-minutes: 60\n', instead: '', want: /verify: no timeout-minutes/ },
  {
    name: 'an action of the day',
    text: 'actions/checkout@v4',
    instead: 'actions/checkout@main',
    want: /checkout@main has no version/,
  },
  { name: 'no tests', text: 'bash .ci/run', instead: 'true', want: /no step runs \.ci\/run/ },
] satisfies Broken[]) {
  t.test(`ci workflow: ${broken.name} is found`, async (t) =>
    foundIt(t, workflowProblems('ci.yml', breakText(read(PATHS.workflow), broken)), broken.want),
  );
}

// ---- metrics

const exported = parseExposition(`# HELP relay_deliveries_total x
# TYPE relay_deliveries_total counter
relay_deliveries_total 5
# TYPE relay_connections gauge
relay_connections 1
# TYPE relay_dropped_total counter
relay_dropped_total{reason="a",lane="0"} 1
# TYPE relay_wait_seconds histogram
relay_wait_seconds_bucket{stage="lane",le="0.1"} 1
`);
const planned = [{ name: 'relay_gc_seconds', type: 'histogram', labels: [] }] as const;
const recorded = new Map([['instance:deliveries:rate1m', 'sum by (instance) (rate(relay_deliveries_total[1m]))']]);
const USES_PLANNED = { at: 'p', expr: 'rate(relay_gc_seconds_count[5m])' };

for (const { name, expr, want } of [
  { name: 'a counter', expr: 'sum(rate(relay_deliveries_total[$__rate_interval]))', want: null },
  { name: 'a gauge with the dashboard’s variable', expr: 'relay_connections{instance=~"$instance"}', want: null },
  {
    name: 'a histogram’s buckets',
    expr: 'histogram_quantile(0.9, sum by (stage, le) (rate(relay_wait_seconds_bucket[5m])))',
    want: null,
  },
  { name: 'a recorded one', expr: 'sum by (instance) (instance:deliveries:rate1m)', want: null },
  { name: 'what is Prometheus’ own', expr: 'up{job="clari-relay"} == 0', want: null },
  {
    name: 'a metric that is not there',
    expr: 'rate(relay_deliverys_total[5m])',
    want: /q: the relay exports no relay_deliverys_total; near: relay_d/,
  },
  { name: 'a histogram without its parts', expr: 'relay_wait_seconds', want: /exports no relay_wait_seconds/ },
  { name: 'buckets of a counter', expr: 'relay_deliveries_total_bucket', want: /exports no relay_deliveries_total_bucket/ },
  { name: 'a rate of a gauge', expr: 'rate(relay_connections[5m])', want: /rate\(\) of relay_connections, which is a gauge/ },
  {
    name: 'an unknown label',
    expr: 'relay_dropped_total{cause="a"}',
    want: /relay_dropped_total has no label cause; it has reason, lane/,
  },
  {
    name: 'a grouping by what is not there',
    expr: 'sum by (lanes) (relay_dropped_total)',
    want: /nothing here has the label lanes/,
  },
  { name: 'a selector without a name', expr: 'rate({job="a"}[5m])', want: /without a metric's name/ },
  { name: 'no PromQL', expr: 'sum(relay_connections', want: /no PromQL at character/ },
]) {
  t.test(`metrics: ${name} ${want === null ? 'passes' : 'is found'}`, async (t) => {
    const problems = metricProblems([{ at: 'q', expr }, USES_PLANNED], { exported, planned, recorded });
    if (want === null) t.same(problems, []);
    else foundIt(t, problems, want);
  });
}

t.test('metrics: a planned one that is exported by now, or that nobody uses, must go from the list', async (t) => {
  const both = [...planned, { name: 'relay_connections', type: 'gauge', labels: [] } as const];
  t.match(metricProblems([USES_PLANNED], { exported, planned: both, recorded }), [
    /exports relay_connections by now/,
    /nobody uses relay_connections/,
  ]);
  t.match(metricProblems([], { exported, planned, recorded }), [/nobody uses relay_gc_seconds/]);
});

t.test('metrics: names in every part of an expression are seen', async (t) => {
  const { series, grouped } = usesOf({
    at: 'q',
    expr: 'a / on (x) group_left (y) b unless max_over_time((rate(c_total{z="1"}[5m]))[1h:5m]) > 0',
  });
  t.same(series, [
    { name: 'a', labels: [], counted: null },
    { name: 'b', labels: [], counted: null },
    { name: 'c_total', labels: ['z'], counted: 'rate' },
  ]);
  t.same(grouped, ['x', 'y']);
});

for (const broken of [
  { name: 'a panel without a unit', text: '"unit": "ops"', instead: '"units": "ops"', want: /no unit/ },
  { name: 'two panels with one id', text: '"id": 2,', instead: '"id": 1,', want: /second panel with the id 1/ },
  { name: 'a fixed data source', text: `"uid": "\${datasource}"`, instead: '"uid": "abc"', want: null },
]) {
  t.test(`dashboard: ${broken.name} is found`, async (t) => {
    const [file] = filesUnder(PATHS.dashboards, '.json');
    const source = file?.text ?? '';
    t.same(readDashboard('d', source).problems, [], 'before');
    // Of the fixed data source the first is a panel's own, of which nothing is asked; each target's is.
    const text = broken.want === null ? source.replaceAll(broken.text, broken.instead) : breakText(source, broken as Broken);
    foundIt(t, readDashboard('d', text).problems, broken.want ?? /must be the dashboard's variable/);
  });
}

t.test('rules: an alert that does not say why is found', async (t) => {
  t.match(
    readRules('r', 'groups: [{rules: [{alert: A, expr: up, labels: {severity: loud}, annotations: {summary: s}}]}]').problems,
    [/A: no description/, /severity must be one of page, ticket, got loud/],
  );
});

for (const [text, want] of [
  ['25s', 25],
  ['1m30s', 90],
  ['25', 25],
  ['soon', null],
  ['', null],
] as const) {
  t.test(`times: '${text}' is ${want}`, async (t) => t.equal(secondsOf(text), want));
}

// ---- the page

t.test('docs/deploying.md has the figures that README.md has from the measurements', async (t) => {
  const page = read('docs/deploying.md');
  /** CPU in us for each delivery and RSS in MB, of a row of the measured table. */
  const measured = (rate: string, server: string): { cpu: string; rss: string } => {
    const row = read('README.md')
      .split('\n')
      .find((line) => line.startsWith(`| ${rate} deliveries/s, ${server} |`));
    const cells = row?.split('|').map((cell) => cell.trim()) ?? [];
    return { cpu: Number(cells[2]).toFixed(0), rss: cells[6] ?? 'no such row' };
  };
  const slow = [measured('10,000', 'relay, 1 lane'), measured('10,000', 'relay, `--lanes 0`')] as const;
  const fast = [measured('50,000', 'relay, 1 lane'), measured('50,000', 'relay, `--lanes 0`')] as const;
  t.match(
    page,
    `${slow[0].rss} MB with 10,000 connections at 10,000 deliveries a second and one lane, ${slow[1].rss} MB with \`--lanes 0\``,
  );
  t.match(
    page,
    `${slow[0].cpu} us of CPU for each delivery at 10,000 a second, ${fast[0].cpu} us at 50,000 (${slow[1].cpu} and ${fast[1].cpu} with`,
  );
});
