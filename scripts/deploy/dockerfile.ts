/**
 * Reads the Dockerfile: stages with their instructions, variables filled in. Knows the instructions that ours uses; another one is a mistake
 * here, not something to pass over, since scripts/chroot-test.ts carries the instructions out.
 */

export interface Stage {
  /** Null if it has none. */
  readonly name: string | null;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

export type Instruction =
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'copy'; readonly from: string | null; readonly sources: readonly string[]; readonly target: string }
  | { readonly kind: 'workdir'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string; readonly value: string }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'expose'; readonly ports: readonly number[] }
  | { readonly kind: 'stopsignal'; readonly signal: string }
  | { readonly kind: 'entrypoint'; readonly argv: readonly string[] }
  | { readonly kind: 'cmd'; readonly argv: readonly string[] }
  | { readonly kind: 'healthcheck'; readonly options: Readonly<Record<string, string>>; readonly argv: readonly string[] };

export function parseDockerfile(text: string): Stage[] {
  const variables = new Map<string, string>();
  const stages: { name: string | null; base: string; instructions: Instruction[] }[] = [];
  for (const line of logicalLines(text)) {
    const [, word = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
    const keyword = word.toUpperCase();
    if (keyword === 'ARG') {
      const [name = '', value = ''] = rest.split('=');
      variables.set(name, value);
    } else if (keyword === 'FROM') {
      const [base = '', as, name] = fill(rest, variables).split(/\s+/);
      stages.push({ base, name: as?.toUpperCase() === 'AS' && name !== undefined ? name : null, instructions: [] });
    } else {
      const stage = stages.at(-1);
      if (stage === undefined) throw new Error(`Dockerfile: ${keyword} before the first FROM`);
      stage.instructions.push(instructionOf(keyword, rest));
    }
  }
  if (stages.length === 0) throw new Error('Dockerfile: no FROM');
  return stages;
}

/** The last of a kind in a stage, which is the one that counts. */
export function lastOf<Kind extends Instruction['kind']>(stage: Stage, kind: Kind): Extract<Instruction, { kind: Kind }> | null {
  return (stage.instructions.findLast((instruction) => instruction.kind === kind) ?? null) as Extract<
    Instruction,
    { kind: Kind }
  > | null;
}

/** Comment lines go, also between continued lines; continued lines become one. */
function logicalLines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function fill(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = variables.get(name);
    if (value === undefined) throw new Error(`Dockerfile: no ARG ${name}`);
    return value;
  });
}

function instructionOf(keyword: string, rest: string): Instruction {
  switch (keyword) {
    case 'RUN':
      return { kind: 'run', command: rest };
    case 'COPY': {
      const [, from = null, paths = ''] = /^(?:--from=(\S+)\s+)?([\s\S]*)$/.exec(rest) ?? [];
      const all = paths.split(/\s+/);
      if (all.length < 2 || paths.startsWith('--')) throw new Error(`Dockerfile: COPY ${rest} is not understood`);
      return { kind: 'copy', from, sources: all.slice(0, -1), target: all.at(-1) as string };
    }
    case 'WORKDIR':
      return { kind: 'workdir', path: rest };
    case 'ENV': {
      const [, name, value] = /^(\w+)=(\S*)$/.exec(rest) ?? [];
      if (name === undefined || value === undefined) throw new Error(`Dockerfile: ENV ${rest}: one NAME=VALUE without spaces`);
      return { kind: 'env', name, value };
    }
    case 'USER':
      return { kind: 'user', user: rest };
    case 'EXPOSE':
      return { kind: 'expose', ports: rest.split(/\s+/).map(Number) };
    case 'STOPSIGNAL':
      return { kind: 'stopsignal', signal: rest };
    case 'ENTRYPOINT':
      return { kind: 'entrypoint', argv: execForm(keyword, rest) };
    case 'CMD':
      return { kind: 'cmd', argv: execForm(keyword, rest) };
    case 'HEALTHCHECK': {
      const [, flags = '', command = ''] = /^((?:--\S+\s+)*)CMD\s+([\s\S]*)$/.exec(rest) ?? [];
      const options = Object.fromEntries([...flags.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name, value]) => [name, value]));
      return { kind: 'healthcheck', options, argv: execForm(keyword, command) };
    }
    default:
      throw new Error(`Dockerfile: ${keyword} is not understood (scripts/deploy/dockerfile.ts)`);
  }
}

/** In the shell's form a shell would be process 1, and it keeps SIGTERM to itself. */
function execForm(keyword: string, text: string): string[] {
  let argv: unknown;
  try {
    argv = JSON.parse(text);
  } catch {
    argv = null;
  }
  if (!Array.isArray(argv) || argv.length === 0 || !argv.every((word) => typeof word === 'string'))
    throw new Error(`Dockerfile: ${keyword} must have its exec form, ["program", "argument"], got ${text}`);
  return argv;
}
