/** Where results go, and how they are written: JSON that a person can read and a diff can show, with lists of figures in one line each. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** BENCH_RESULTS names another folder: a trial must not overwrite what the docs are made from. */
export function resultsFolder(): string {
  const named = process.env['BENCH_RESULTS'];
  return named === undefined ? fileURLToPath(new URL('../results', import.meta.url)) : resolve(named);
}

/** The file's name. */
export function writeResults(name: string, value: object): string {
  const folder = resultsFolder();
  mkdirSync(folder, { recursive: true });
  const file = `${folder}/${name}.json`;
  writeFileSync(file, resultsText(value));
  return file;
}

export function resultsText(value: object): string {
  // A list of figures, or of lists of figures, takes one line. Texts have no line breaks in JSON, so none of them is taken for one.
  const numbers = /\[\n[\d\s.,e+[\]-]*\]/g;
  return `${JSON.stringify(value, null, 2).replace(numbers, (list) => list.replace(/\s+/g, ' ').replace(/\[ /g, '[').replace(/ \]/g, ']'))}\n`;
}

/** Null: not measured yet. */
export function readResults<Result>(name: string, folder = resultsFolder()): Result | null {
  const file = `${folder}/${name}.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Result) : null;
}
