/** Reading what came from YAML or JSON, of which nothing is known yet. What is not there is undefined, at any depth. */

export type Tree = unknown;

export function get(tree: Tree, ...path: readonly (string | number)[]): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

export function textOf(tree: Tree, ...path: readonly (string | number)[]): string | undefined {
  const value = get(tree, ...path);
  return typeof value === 'string' ? value : undefined;
}

/** Empty where it is no list. */
export function listOf(tree: Tree, ...path: readonly (string | number)[]): readonly unknown[] {
  const value = get(tree, ...path);
  return Array.isArray(value) ? value : [];
}

/** Empty where it is no object. */
export function fieldsOf(tree: Tree, ...path: readonly (string | number)[]): Readonly<Record<string, unknown>> {
  const value = get(tree, ...path);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
