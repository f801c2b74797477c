/** The Dockerfile: what its image must be, as far as that can be read. scripts/chroot-test.ts carries it out. */
import { DEFAULTS } from '../../src/app/config-table.ts';
import { lastOf, parseDockerfile } from './dockerfile.ts';

export interface ImageFacts {
  readonly optionalDependencies: Readonly<Record<string, string>>;
  /** For paths from the project's root, after .dockerignore. */
  readonly isInContext: (path: string) => boolean;
  /** Files that a file of that path imports by a relative path, from the project's root. */
  readonly importsOf: (path: string) => readonly string[];
}

/** The oldest glibc of the uWebSockets.js build for Node 24 is Debian 13's. */
const BASE = /^debian:trixie-slim$/;

export function imageProblems(path: string, text: string, facts: ImageFacts): string[] {
  const problems: string[] = [];
  const expect = (isOk: boolean, problem: string): void => {
    if (!isOk) problems.push(`${path}: ${problem}`);
  };
  const stages = parseDockerfile(text);
  const [first, last] = [stages[0], stages.at(-1)];
  if (first === undefined || last === undefined || first === last)
    return [`${path}: at least two stages, one to build and one to run`];
  const [, nodeMajor] = /^node:(\d+)-trixie-slim$/.exec(first.base) ?? [];
  const build = `@uwsjs/linux-x64-${nodeMajor}`;
  expect(nodeMajor !== undefined && build in facts.optionalDependencies, `FROM ${first.base}: package.json has no ${build}`);
  expect(BASE.test(last.base), `the last stage must be of debian:trixie-slim, is of ${last.base}`);
  expect(
    /^[1-9]\d*:[1-9]\d*$/.test(lastOf(last, 'user')?.user ?? ''),
    'USER must be a number and not root, so that runAsNonRoot can see it',
  );
  expect(lastOf(last, 'healthcheck') !== null, 'no HEALTHCHECK');
  expect(lastOf(last, 'entrypoint')?.argv[0] === 'node', 'ENTRYPOINT must be node itself: it is process 1 and gets the signals');
  expect(lastOf(last, 'cmd')?.argv.join(' ') === 'serve', 'CMD must be serve');
  expect((lastOf(last, 'stopsignal')?.signal ?? 'SIGTERM') === 'SIGTERM', 'STOPSIGNAL must be SIGTERM');
  const ports = lastOf(last, 'expose')?.ports ?? [];
  expect(
    ports.join() === [DEFAULTS.port, DEFAULTS.opsPort].join(),
    `EXPOSE must be ${DEFAULTS.port} ${DEFAULTS.opsPort}, is ${ports.join(' ')}`,
  );
  for (const stage of stages)
    for (const instruction of stage.instructions)
      if (instruction.kind === 'copy' && instruction.from === null)
        for (const source of instruction.sources)
          expect(facts.isInContext(source), `COPY ${source}: not there, or .dockerignore keeps it out`);
  const copied = first.instructions.flatMap((instruction) =>
    instruction.kind === 'copy' && instruction.from === null ? instruction.sources : [],
  );
  // Folders bring what they need with them; a single file may need others.
  for (const source of copied.filter((path) => path.endsWith('.ts')))
    for (const needed of facts.importsOf(source))
      expect(
        copied.some((path) => path === needed || needed.startsWith(`${path}/`)),
        `${source} imports ${needed}, which no COPY brings`,
      );
  return problems;
}
