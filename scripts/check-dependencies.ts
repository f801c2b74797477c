/**
 * What the project depends on, held against the rules of docs/decisions/0001-dependencies.md: exact versions, pinned bytes, no code that runs when
 * it is installed, licences that fit. Asks nobody: package.json, package-lock.json and node_modules are all it reads.
 *
 *   npm run check:dependencies      problems, if there are any, and exit code 1
 *   npm audit                       known vulnerabilities; needs the registry. (`npm audit --offline` says "found 0" without having asked.)
 *
 * Writes docs/dependencies.md by way of scripts/generate-docs.ts.
 */
import { existsSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** For what is shipped. */
const LICENCES_SHIPPED = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Zlib'];
/** For tools: used, not passed on. MPL-2.0 is axe-core, whose files are not changed; CC-BY-3.0 and CC0-1.0 are lists of licences. */
const LICENCES_OF_TOOLS = [...LICENCES_SHIPPED, 'BlueOak-1.0.0', 'MPL-2.0', 'CC-BY-3.0', 'CC0-1.0'];

/** Their package.json names no licence; the file in the package does. By name and version, so that the next version is looked at again. */
const LICENCES_READ: Readonly<Record<string, string>> = { 'jsonc-simple-parser@3.0.0': 'MIT' };

/** Packages with an install script, and the file that makes it unneeded. */
const SCRIPTS_NOT_NEEDED: Readonly<Record<string, { readonly because: string; readonly file: string }>> = {
  esbuild: {
    because: 'it puts the binary in the place of a small starter; the binary is a package of its own',
    file: 'node_modules/@esbuild/linux-x64/bin/esbuild',
  },
  bufferutil: {
    because: 'it would compile; the binary is in the package',
    file: 'node_modules/bufferutil/prebuilds/linux-x64',
  },
};

export interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly hasInstallScript?: boolean;
  /** Where it is installed under another name. */
  readonly name?: string;
  readonly os?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface DirectDependencies {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** What is looked at, so that a test can bring something else. */
export interface Project {
  readonly manifest: DirectDependencies;
  /** By path; '' is the project. */
  readonly locked: Readonly<Record<string, LockedPackage & DirectDependencies>>;
  /** docs/decisions/0001-dependencies.md */
  readonly decision: string;
  /** A package's own package.json, where it is installed. */
  readonly installed: (path: string) => { readonly version: string; readonly license?: string } | null;
  readonly exists: (path: string) => boolean;
}

const DIRECT_KINDS = ['dependencies', 'optionalDependencies', 'devDependencies'] as const;
const EXACT_VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
const DECISION = 'docs/decisions/0001-dependencies.md';

export function dependencyProblems(project: Project): string[] {
  return [...directProblems(project), ...packagesOf(project).flatMap((entry) => packageProblems(project, entry))];
}

/** Exact, in the lock file as in package.json, and with a reason. */
function directProblems({ manifest, locked, decision }: Project): string[] {
  const problems: string[] = [];
  const reasons = reasonsIn(decision);
  const names = new Set<string>();
  for (const kind of DIRECT_KINDS)
    for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
      names.add(name);
      if (!EXACT_VERSION.test(version)) problems.push(`package.json: ${name} must have an exact version, got '${version}'`);
      if (locked['']?.[kind]?.[name] !== version)
        problems.push(`package-lock.json: ${name} is not ${version}, as package.json says`);
      const reason = reasons.get(name);
      if (reason === undefined) problems.push(`${DECISION}: ${name} has no row: what is it for?`);
      else if (reason.version !== null && reason.version !== version)
        problems.push(`${DECISION}: ${name} is ${reason.version}, in package.json ${version}`);
    }
  for (const name of reasons.keys()) if (!names.has(name)) problems.push(`${DECISION}: ${name} is not in package.json`);
  return problems;
}

interface Entry {
  readonly path: string;
  readonly name: string;
  readonly entry: LockedPackage;
  readonly isShipped: boolean;
}

function packagesOf({ locked }: Project): Entry[] {
  return Object.entries(locked)
    .filter(([path]) => path !== '')
    .map(([path, entry]) => ({ path, name: nameOf(path), entry, isShipped: entry.dev !== true && entry.devOptional !== true }));
}

function packageProblems(project: Project, { path, name, entry, isShipped }: Entry): string[] {
  const problems: string[] = [];
  const what = `${name} ${entry.version}`;
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? ''))
    problems.push(`package-lock.json: ${what} has no sha512 integrity`);
  if (entry.hasInstallScript === true) {
    const known = SCRIPTS_NOT_NEEDED[name];
    if (known === undefined)
      problems.push(`${what} runs a script when it is installed: is it needed? (scripts/check-dependencies.ts)`);
    else if (!project.exists(known.file))
      problems.push(`${what}: its install script is needed after all: there is no ${known.file}`);
  }
  const installed = project.installed(path);
  if (installed !== null && installed.version !== entry.version)
    problems.push(`${what} is installed as ${installed.version}: npm ci`);
  const licence = licenceOf(name, entry, installed);
  if (licence === null)
    return [...problems, `${what} names no licence: read it, and write it down in scripts/check-dependencies.ts`];
  if (entry.license !== undefined && installed?.license !== undefined && entry.license !== installed.license)
    problems.push(`${what}: its licence is ${installed.license}, in the lock file ${entry.license}`);
  const allowed = isShipped ? LICENCES_SHIPPED : LICENCES_OF_TOOLS;
  if (!fits(licence, allowed))
    problems.push(`${what} (${isShipped ? 'shipped' : 'a tool'}) is under ${licence}; allowed: ${allowed.join(', ')}`);
  return problems;
}

function licenceOf(name: string, entry: LockedPackage, installed: { readonly license?: string } | null): string | null {
  return entry.license ?? installed?.license ?? LICENCES_READ[`${name}@${entry.version}`] ?? null;
}

/** SPDX, of the forms that occur: one, `A OR B`, `A AND B`, in brackets or not. Anything else fits nowhere. */
export function fits(licence: string, allowed: readonly string[]): boolean {
  const bare = licence.replace(/^\((.*)\)$/, '$1');
  return bare.split(' OR ').some((choice) => choice.split(' AND ').every((one) => allowed.includes(one)));
}

/** `node_modules/a/node_modules/@b/c` -> `@b/c` */
function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

interface Reason {
  /** Null where the row names none: tools that have one in package.json only. */
  readonly version: string | null;
  readonly purpose: string;
}

/** The decision's table: "`name` 1.2.3, `other` 1.2.3 | for | why". */
function reasonsIn(decision: string): Map<string, Reason> {
  const reasons = new Map<string, Reason>();
  for (const row of decision.split('\n').filter((line) => line.startsWith('| `'))) {
    const [, names = '', purpose = ''] = row.split(/(?<!\\)\|/).map((cell) => cell.trim());
    for (const [, name = '', version] of names.matchAll(/`([^`]+)`(?: (\d[\w.-]*))?/g))
      reasons.set(name, { version: version ?? null, purpose });
  }
  return reasons;
}

// ---- docs/dependencies.md

export function renderDependencies(project: Project): string {
  const { manifest, decision, locked } = project;
  const reasons = reasonsIn(decision);
  const licenceAt = (path: string): string => {
    const entry = locked[path];
    return entry === undefined ? '' : (licenceOf(nameOf(path), entry, project.installed(path)) ?? '');
  };
  const directRows = (kinds: readonly (typeof DIRECT_KINDS)[number][]): string =>
    kinds
      .flatMap((kind) => Object.entries(manifest[kind] ?? {}).map(([name, version]) => ({ kind, name, version })))
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map(({ kind, name, version }) => {
        const purpose = reasons.get(name)?.purpose ?? '';
        const note = kind === 'optionalDependencies' ? ' (optional)' : '';
        return `| \`${name}\` | ${version} | ${licenceAt(`node_modules/${name}`)} | ${purpose}${note} |`;
      })
      .join('\n');
  const direct = new Set(DIRECT_KINDS.flatMap((kind) => Object.keys(manifest[kind] ?? {}).map((name) => `node_modules/${name}`)));
  const brought = packagesOf(project).filter(({ path }) => !direct.has(path));
  const shipped = brought.filter(({ isShipped, entry }) => isShipped && entry.os === undefined);
  const platforms = brought.filter(({ isShipped, entry }) => isShipped && entry.os !== undefined);
  const tools = brought.filter(({ isShipped }) => !isShipped);
  return `# Dependencies

Generated from \`package.json\`, \`package-lock.json\` and [decision 1](decisions/0001-dependencies.md) by \`npm run docs\`; edits are overwritten. Why each one was chosen is in the decision. \`npm run check:dependencies\`
(part of \`npm test\`) holds that every version is exact, every package has its SHA-512 in the lock file, none needs a script when it is installed, and every licence is one of these: for what is shipped
${LICENCES_SHIPPED.join(', ')}; for tools besides ${LICENCES_OF_TOOLS.slice(LICENCES_SHIPPED.length).join(', ')}. Known vulnerabilities are another question, and one for the registry: \`npm audit\`.

## Production

| package | version | licence | for |
|---|---|---|---|
${directRows(['dependencies', 'optionalDependencies'])}

They bring along:

| package | version | licence | for |
|---|---|---|---|
${shipped.map(({ path, name, entry }) => `| \`${name}\` | ${entry.version} | ${licenceAt(path)} | ${usersOf(project, name).join(', ')}${placeholderText(entry)} |`).join('\n')}

and ${platforms.length} packages with a binary for one platform each, of which npm installs those that fit: ${byLicence(platforms, licenceAt)}

## Development

| package | version | licence | for |
|---|---|---|---|
${directRows(['devDependencies'])}

They bring along ${tools.length} packages, by licence:

${byLicence(tools, licenceAt)}
`;
}

/** `overrides` in package.json. */
function placeholderText({ name }: LockedPackage): string {
  return name === undefined ? '' : `; in its place \`${name}\``;
}

function byLicence(entries: readonly Entry[], licenceAt: (path: string) => string): string {
  const groups = Map.groupBy(entries, ({ path }) => licenceAt(path));
  return [...groups]
    .sort(([one, ones], [other, others]) => others.length - ones.length || (one < other ? -1 : 1))
    .map(([licence, members]) => {
      const names = [...new Set(members.map(({ name, entry }) => `${name} ${entry.version}`))].sort();
      return `**${licence}** (${names.length}): ${names.join(', ')}.`;
    })
    .join('\n\n');
}

/** Packages that ask for it and are shipped themselves. */
function usersOf(project: Project, name: string): string[] {
  const users = packagesOf(project).filter(
    ({ isShipped, entry }) => isShipped && name in { ...entry.dependencies, ...entry.optionalDependencies },
  );
  return [...new Set(users.map((user) => `\`${user.name}\``))].sort();
}

// ---- the tree

const ROOT = fileURLToPath(new URL('..', import.meta.url));

export function readProject(): Project {
  const json = (path: string) => JSON.parse(readFileSync(ROOT + path, 'utf8'));
  return {
    manifest: json('package.json'),
    locked: json('package-lock.json').packages,
    decision: readFileSync(ROOT + DECISION, 'utf8'),
    installed: (path) => (existsSync(`${ROOT}${path}/package.json`) ? json(`${path}/package.json`) : null),
    exists: (path) => existsSync(ROOT + path),
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const project = readProject();
  const problems = dependencyProblems(project);
  for (const problem of problems) console.error(problem);
  console.log(
    `${Object.keys(project.locked).length - 1} packages, ${problems.length} problems. Known vulnerabilities: npm audit`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
}
