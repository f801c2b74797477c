/**
 * The Kubernetes manifests: each document by Kubernetes' own schema (deploy/schemas, unknown fields refused), then what no schema knows: names that
 * must meet, times that must fit, and the doors that must stay shut. Kinds that are no part of Kubernetes (Kustomization, PodMonitor) have no schema
 * here; of them only what is said below is checked.
 */
import { posix } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { parseAllDocuments } from 'yaml';
import type { RelayConfig } from '../../src/app/config.ts';
import { settingsOf, stopMs, withSecrets } from './settings.ts';
import { fieldsOf, get, listOf, type Tree, textOf } from './tree.ts';

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

export interface KubernetesFacts {
  /** deploy/schemas/kubernetes.json */
  readonly schemas: object;
  readonly version: string;
  /** Paths of the ops port that answer. Null: not known, not checked. */
  readonly opsPaths: ReadonlySet<string> | null;
}

interface Document {
  readonly path: string;
  readonly kind: string;
  readonly name: string;
  readonly tree: Tree;
}

const WITHOUT_SCHEMA = ['kustomize.config.k8s.io/v1beta1/Kustomization', 'monitoring.coreos.com/v1/PodMonitor'];
/** Values for a chart, no manifest. */
const NO_MANIFEST = /-values\.yaml$/;
const PROBES = ['startupProbe', 'readinessProbe', 'livenessProbe'] as const;

export function kubernetesProblems(files: readonly TextFile[], facts: KubernetesFacts): string[] {
  const problems: string[] = [];
  const documents: Document[] = [];
  const schemaProblems = schemaChecker(facts.schemas);
  for (const { path, text } of files) {
    for (const document of parseAllDocuments(text)) {
      problems.push(...[...document.errors, ...document.warnings].map((error) => `${path}: ${error.message}`));
      const tree: Tree = document.errors.length > 0 ? null : document.toJS();
      if (tree === null || NO_MANIFEST.test(path)) continue;
      const kind = textOf(tree, 'kind') ?? '';
      const name = textOf(tree, 'metadata', 'name') ?? '';
      documents.push({ path, kind, name, tree });
      problems.push(...schemaProblems(tree).map((problem) => `${path}: ${kind} ${name}: ${problem}`));
    }
  }
  const deployments = documents.filter(({ kind }) => kind === 'Deployment');
  for (const deployment of deployments) problems.push(...deploymentProblems(deployment, documents, facts));
  if (deployments.length === 0) problems.push('no Deployment');
  problems.push(...kustomizationProblems(documents, files));
  return problems;
}

/** Compiling takes longer than all the rest, and the same schemas come again. */
const checkers = new WeakMap<object, (tree: Tree) => string[]>();

function schemaChecker(schemas: object): (tree: Tree) => string[] {
  const checker = checkers.get(schemas) ?? newSchemaChecker(schemas);
  checkers.set(schemas, checker);
  return checker;
}

function newSchemaChecker(schemas: object): (tree: Tree) => string[] {
  // Formats are int32 and their like, which the types say already.
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema({ $id: 'kubernetes', ...schemas });
  const compiled = new Map<string, ValidateFunction>();
  return (tree) => {
    const kind = `${textOf(tree, 'apiVersion')}/${textOf(tree, 'kind')}`;
    if (WITHOUT_SCHEMA.includes(kind)) return [];
    if (get(schemas, 'kinds', kind) === undefined) return [`no schema for ${kind} (scripts/deploy/cut-kubernetes-schema.ts)`];
    const pointer = kind.replaceAll('/', '~1');
    const validate = compiled.get(kind) ?? ajv.compile({ $ref: `kubernetes#/kinds/${pointer}` });
    compiled.set(kind, validate);
    validate(tree);
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    );
  };
}

function deploymentProblems({ path, name, tree }: Document, documents: readonly Document[], facts: KubernetesFacts): string[] {
  const at = `${path}: Deployment ${name}`;
  const pod = get(tree, 'spec', 'template', 'spec');
  const labels = fieldsOf(tree, 'spec', 'template', 'metadata', 'labels');
  const container = get(pod, 'containers', 0);
  const { config, problems } = podSettings(at, pod, container, documents);
  const expect = (isOk: boolean, problem: string): void => {
    if (!isOk) problems.push(`${at}: ${problem}`);
  };
  const selects = (selector: Tree): boolean => {
    const wanted = Object.entries(fieldsOf(selector));
    return wanted.length > 0 && wanted.every(([label, value]) => labels[label] === value);
  };
  expect(selects(get(tree, 'spec', 'selector', 'matchLabels')), 'the selector does not fit the labels of its pods');
  expect(textOf(container, 'image') === `clari-relay:${facts.version}`, `the image must be clari-relay:${facts.version}`);
  expect(
    get(pod, 'enableServiceLinks') === false,
    'enableServiceLinks must be false: its variables begin with RELAY_ beside a Service `relay`',
  );
  expect(get(pod, 'securityContext', 'runAsNonRoot') === true, 'must run as somebody else than root');
  expect(get(container, 'securityContext', 'readOnlyRootFilesystem') === true, 'the root file system must be read-only');
  expect(get(container, 'securityContext', 'allowPrivilegeEscalation') === false, 'allowPrivilegeEscalation must be false');
  expect(listOf(container, 'securityContext', 'capabilities', 'drop').includes('ALL'), 'all capabilities must be dropped');
  expect(textOf(container, 'resources', 'limits', 'memory') !== undefined, 'no limit of memory');

  const ports = new Map(listOf(container, 'ports').map((port) => [textOf(port, 'name'), get(port, 'containerPort')]));
  for (const probe of PROBES) {
    const asked = textOf(container, probe, 'httpGet', 'path');
    expect(asked !== undefined && get(container, probe, 'httpGet', 'port') === 'ops', `${probe} must ask the port ops`);
    expect(
      asked === undefined || facts.opsPaths?.has(asked) !== false,
      `${probe}: a ready relay does not answer ${asked} with 200`,
    );
  }
  if (config !== null) {
    expect(ports.get('ws') === config.port, `the port ws must be ${config.port}`);
    expect(ports.get('ops') === config.opsPort, `the port ops must be ${config.opsPort}`);
    expect(
      config.host === '0.0.0.0' && config.opsHost === '0.0.0.0',
      'RELAY_HOST and RELAY_OPS_HOST must be 0.0.0.0: probes come over the pod’s address',
    );
    const graceMs = 1_000 * Number(get(pod, 'terminationGracePeriodSeconds') ?? 30);
    const preStopMs = 1_000 * Number(get(container, 'lifecycle', 'preStop', 'sleep', 'seconds') ?? 0);
    const neededMs = preStopMs + stopMs(config);
    expect(
      graceMs >= neededMs,
      `terminationGracePeriodSeconds is ${graceMs / 1_000}, a stop takes up to ${neededMs / 1_000}: preStop ${preStopMs / 1_000} + drainDeadlineMs ${config.drainDeadlineMs} + closeTimeoutMs ${config.closeTimeoutMs}`,
    );
  }
  problems.push(...neighbourProblems(documents, name, selects, ports));
  return problems;
}

/** What the pod's environment and its mounted file say, read as the relay reads it. */
function podSettings(
  at: string,
  pod: Tree,
  container: Tree,
  documents: readonly Document[],
): { config: RelayConfig | null; problems: string[] } {
  const problems: string[] = [];
  const dataOf = (name: string | undefined): Readonly<Record<string, string>> => {
    const map = documents.find((document) => document.kind === 'ConfigMap' && document.name === name);
    if (map === undefined) problems.push(`${at}: there is no ConfigMap ${name}`);
    return fieldsOf(map?.tree, 'data') as Record<string, string>;
  };
  const env: Record<string, string> = {};
  for (const source of listOf(container, 'envFrom')) Object.assign(env, dataOf(textOf(source, 'configMapRef', 'name')));
  for (const variable of listOf(container, 'env')) env[textOf(variable, 'name') ?? ''] = textOf(variable, 'value') ?? '';
  for (const name of Object.keys(env))
    if (!/^[A-Z_][A-Z0-9_]*$/.test(name)) problems.push(`${at}: ${name} is no name of a variable`);
  const mounted = new Map<string, string>();
  const secretFolders: string[] = [];
  for (const mount of listOf(container, 'volumeMounts')) {
    const name = textOf(mount, 'name');
    const volume = listOf(pod, 'volumes').find((candidate) => textOf(candidate, 'name') === name);
    if (volume === undefined) problems.push(`${at}: there is no volume ${name}`);
    if (textOf(volume, 'secret', 'secretName') !== undefined) {
      secretFolders.push(textOf(mount, 'mountPath') ?? '');
      continue;
    }
    const data = dataOf(textOf(volume, 'configMap', 'name'));
    for (const [file, text] of Object.entries(data)) mounted.set(posix.join(textOf(mount, 'mountPath') ?? '', file), text);
  }
  const readFile = (path: string): string => {
    const text = mounted.get(path);
    if (text === undefined) throw new Error(`not mounted; mounted: ${[...mounted.keys()].join(', ')}`);
    return text;
  };
  const isSecret = (file: string): boolean => secretFolders.includes(posix.dirname(file));
  const read = settingsOf(at, { env, readFile: withSecrets(env, isSecret, readFile) });
  return { config: read.config, problems: [...problems, ...read.problems] };
}

/** The documents beside a Deployment that speak of it. */
function neighbourProblems(
  documents: readonly Document[],
  deployment: string,
  selects: (selector: Tree) => boolean,
  ports: ReadonlyMap<string | undefined, unknown>,
): string[] {
  const problems: string[] = [];
  const isOps = (port: unknown): boolean => port === 'ops' || port === ports.get('ops');
  for (const { path, kind, name, tree } of documents) {
    const at = `${path}: ${kind} ${name}`;
    if (kind === 'Service') {
      if (!selects(get(tree, 'spec', 'selector'))) problems.push(`${at}: selects no pod of ${deployment}`);
      for (const port of listOf(tree, 'spec', 'ports')) {
        const target = get(port, 'targetPort') ?? get(port, 'port');
        if (isOps(target)) problems.push(`${at}: the ops port must not be reached through a Service`);
        else if (typeof target === 'string' && !ports.has(target))
          problems.push(`${at}: no port of the container is called ${target}`);
      }
    } else if (kind === 'PodDisruptionBudget' || kind === 'PodMonitor') {
      if (!selects(get(tree, 'spec', 'selector', 'matchLabels'))) problems.push(`${at}: selects no pod of ${deployment}`);
      for (const endpoint of listOf(tree, 'spec', 'podMetricsEndpoints'))
        if (!ports.has(textOf(endpoint, 'port')))
          problems.push(`${at}: no port of the container is called ${get(endpoint, 'port')}`);
    } else if (kind === 'NetworkPolicy') {
      if (!selects(get(tree, 'spec', 'podSelector', 'matchLabels'))) problems.push(`${at}: selects no pod of ${deployment}`);
      for (const rule of listOf(tree, 'spec', 'ingress')) {
        const named = listOf(rule, 'ports').map((port) => get(port, 'port'));
        for (const port of named)
          if (typeof port === 'string' && !ports.has(port)) problems.push(`${at}: no port of the container is called ${port}`);
        if ((named.length === 0 || named.some(isOps)) && listOf(rule, 'from').length === 0)
          problems.push(`${at}: the ops port is open to all`);
      }
    } else if (kind === 'HorizontalPodAutoscaler') {
      if (textOf(tree, 'spec', 'scaleTargetRef', 'name') !== deployment) problems.push(`${at}: does not scale ${deployment}`);
    }
  }
  return problems;
}

function kustomizationProblems(documents: readonly Document[], files: readonly TextFile[]): string[] {
  const kustomization = documents.find(({ kind }) => kind === 'Kustomization');
  if (kustomization === undefined) return ['no Kustomization'];
  const folder = posix.dirname(kustomization.path);
  const listed = new Set(listOf(kustomization.tree, 'resources').map((resource) => posix.join(folder, String(resource))));
  const beside = files.map(({ path }) => path).filter((path) => posix.dirname(path) === folder && path !== kustomization.path);
  return [
    ...[...listed]
      .filter((path) => !files.some((file) => file.path === path))
      .map((path) => `${kustomization.path}: there is no ${path}`),
    ...beside.filter((path) => !listed.has(path)).map((path) => `${kustomization.path}: ${path} is not among its resources`),
  ];
}
