/**
 * The part of JSON Schema that docs/openapi.json uses. A keyword outside it is a mistake of the document, not something to pass over:
 * a schema that is not checked would agree with everything.
 */

export type Schema = Readonly<Record<string, unknown>> | boolean;

// biome-ignore format: a table reads better in rows.
const CHECKED = new Set([
  '$ref', 'type', 'const', 'enum', 'oneOf', 'properties', 'required', 'additionalProperties', 'items', 'prefixItems', 'minItems', 'maxItems',
  'minimum', 'maximum', 'minLength', 'maxLength', 'pattern',
]);
const ANNOTATIONS = new Set(['description', 'default']);

/** The value behind `#/a/b/c`. Throws when there is none. */
export function resolveRef(document: unknown, ref: string): unknown {
  let value = document;
  for (const part of ref.split('/').slice(1)) value = (value as Record<string, unknown> | undefined)?.[part];
  if (!ref.startsWith('#/') || value === undefined) throw new Error(`nothing at ${ref}`);
  return value;
}

/** What is wrong with `value`, each with its path; empty if it is valid. */
export function schemaProblems(document: unknown, schema: Schema, value: unknown, path = '$'): string[] {
  if (typeof schema === 'boolean') return schema ? [] : [`${path} must not be there`];
  for (const keyword of Object.keys(schema)) {
    if (!CHECKED.has(keyword) && !ANNOTATIONS.has(keyword))
      throw new Error(`keyword ${keyword} is not checked by this test (at ${path})`);
  }
  const problems: string[] = [];
  const { $ref, type, oneOf } = schema;
  if (typeof $ref === 'string') problems.push(...schemaProblems(document, resolveRef(document, $ref) as Schema, value, path));
  if (type !== undefined && ![type].flat().some((name) => isOfType(value, name as string)))
    return [`${path} must be ${type}, got ${typeName(value)}`];
  if ('const' in schema && value !== schema['const']) problems.push(`${path} must be ${schema['const']}`);
  if (Array.isArray(schema['enum']) && !schema['enum'].includes(value))
    problems.push(`${path} must be one of ${schema['enum']}, got ${value}`);
  if (Array.isArray(oneOf)) {
    const matching = oneOf.filter((candidate: Schema) => schemaProblems(document, candidate, value, path).length === 0);
    if (matching.length !== 1) problems.push(`${path} must match one of ${oneOf.length} schemas, matches ${matching.length}`);
  }
  if (typeof value === 'number') problems.push(...bounds(schema, 'minimum', 'maximum', value, path));
  if (typeof value === 'string') {
    problems.push(...bounds(schema, 'minLength', 'maxLength', value.length, `${path}.length`));
    if (typeof schema['pattern'] === 'string' && !new RegExp(schema['pattern'], 'u').test(value))
      problems.push(`${path} must match ${schema['pattern']}`);
  }
  if (Array.isArray(value)) problems.push(...itemProblems(document, schema, value, path));
  else if (typeof value === 'object' && value !== null)
    problems.push(...propertyProblems(document, schema, value as Record<string, unknown>, path));
  return problems;
}

function itemProblems(
  document: unknown,
  schema: Readonly<Record<string, unknown>>,
  items: readonly unknown[],
  path: string,
): string[] {
  const prefix = (schema['prefixItems'] ?? []) as Schema[];
  const rest = (schema['items'] ?? true) as Schema;
  return [
    ...bounds(schema, 'minItems', 'maxItems', items.length, `${path}.length`),
    ...items.flatMap((item, index) => schemaProblems(document, prefix[index] ?? rest, item, `${path}[${index}]`)),
  ];
}

function propertyProblems(
  document: unknown,
  schema: Readonly<Record<string, unknown>>,
  fields: Record<string, unknown>,
  path: string,
): string[] {
  const properties = (schema['properties'] ?? {}) as Record<string, Schema>;
  const others = (schema['additionalProperties'] ?? true) as Schema;
  const missing = ((schema['required'] ?? []) as string[]).filter((name) => !(name in fields));
  return [
    ...missing.map((name) => `${path}.${name} is missing`),
    ...Object.entries(fields).flatMap(([name, field]) =>
      schemaProblems(document, properties[name] ?? others, field, `${path}.${name}`),
    ),
  ];
}

function bounds(schema: Readonly<Record<string, unknown>>, min: string, max: string, value: number, path: string): string[] {
  const problems: string[] = [];
  if (typeof schema[min] === 'number' && value < schema[min])
    problems.push(`${path} must be at least ${schema[min]}, got ${value}`);
  if (typeof schema[max] === 'number' && value > schema[max])
    problems.push(`${path} must be at most ${schema[max]}, got ${value}`);
  return problems;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  return typeName(value) === type;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
