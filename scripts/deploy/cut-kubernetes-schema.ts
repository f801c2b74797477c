/**
 * Writes deploy/schemas/kubernetes.json: of Kubernetes' own definitions those that our manifests need, without their descriptions.
 *
 *   node scripts/deploy/cut-kubernetes-schema.ts FOLDER VERSION
 *
 * FOLDER is a set of the strict ones (unknown fields are refused), as the Python package kubernetes-validate carries them:
 * `kubernetes-json-schema/v1.37.0-local-strict` in its wheel. Run again for a newer Kubernetes, or for a kind that is not there yet.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** apiVersion/kind, each with its file in the folder. */
const KINDS: Readonly<Record<string, string>> = {
  'apps/v1/Deployment': 'deployment-apps-v1',
  'v1/Service': 'service-v1',
  'v1/ConfigMap': 'configmap-v1',
  'policy/v1/PodDisruptionBudget': 'poddisruptionbudget-policy-v1',
  'networking.k8s.io/v1/NetworkPolicy': 'networkpolicy-networking-v1',
  'autoscaling/v2/HorizontalPodAutoscaler': 'horizontalpodautoscaler-autoscaling-v2',
};
const DEFINITIONS = '_definitions';
const REFERENCE = '/$defs/';

const [folder, version] = process.argv.slice(2);
if (folder === undefined || version === undefined) {
  console.error('cut-kubernetes-schema: FOLDER and VERSION are needed');
  process.exit(2);
}
const read = (name: string): Record<string, unknown> => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
const all = read(DEFINITIONS)['$defs'] as Record<string, unknown>;
const taken: Record<string, unknown> = {};

/** The schema as we keep it; what it refers to is taken too. */
function cut(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cut);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      // A property may be called `description`: then it is a schema.
      if (
        (key === 'description' && typeof inner === 'string') ||
        key.startsWith('x-kubernetes-') ||
        key === '$id' ||
        key === '$schema'
      )
        return [];
      if (key !== '$ref') return [[key, cut(inner)]];
      const name = (inner as string).split(REFERENCE)[1] as string;
      take(name);
      return [[key, `#/$defs/${name}`]];
    }),
  );
}

function take(name: string): void {
  if (name in taken) return;
  if (!(name in all)) throw new Error(`${DEFINITIONS}.json has no ${name}`);
  taken[name] = null; // Definitions refer to each other in circles.
  taken[name] = cut(all[name]);
}

const kinds: Record<string, unknown> = {};
for (const [kind, file] of Object.entries(KINDS)) {
  const schema = cut(read(file)) as { readonly required?: readonly string[] };
  kinds[kind] = { ...schema, required: [...new Set(['apiVersion', 'kind', 'metadata', ...(schema.required ?? [])])] };
}
const note = `Kubernetes ${version}, its OpenAPI definitions (Apache-2.0) as strict JSON Schema, cut by scripts/deploy/cut-kubernetes-schema.ts`;
writeFileSync(
  fileURLToPath(new URL('../../deploy/schemas/kubernetes.json', import.meta.url)),
  `${JSON.stringify({ $comment: note, version, kinds, $defs: Object.fromEntries(Object.entries(taken).sort(([left], [right]) => (left < right ? -1 : 1))) })}\n`,
);
