/**
 * Where the entries of the generator's processes and threads lie: beside this file in the sources, as bench-NAME.js in a build.
 */
import { existsSync } from 'node:fs';

export function entryUrl(name: 'worker' | 'ticker-thread'): URL {
  if (import.meta.url.endsWith('.ts')) return new URL(`./${name}.ts`, import.meta.url);
  return new URL(`./bench-${name}.js`, import.meta.url);
}

/** A build may have been made without the generator. */
export function hasEntries(): boolean {
  return existsSync(entryUrl('worker')) && existsSync(entryUrl('ticker-thread'));
}
