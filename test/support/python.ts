/**
 * The Python that can run examples/python. Debian's modules belong to Debian's interpreter, which need not be the first one in PATH.
 */
import { spawnSync } from 'node:child_process';
import process from 'node:process';

const INTERPRETERS = ['python3', '/usr/bin/python3'];
const MODULES = ['websockets', 'msgpack', 'cryptography'];

/** Installs the modules where none has them and that is possible; throws a text that says what to do where it is not. */
export function findPython(): string {
  const found = tryFind();
  if (found !== undefined) return found;
  const packages = MODULES.map((name) => `python3-${name}`).join(' ');
  const command = `apt-get update && apt-get install -y ${packages}`;
  const advice = `no Python here can import ${MODULES.join(', ')}, which examples/python needs: run "${command}" as root`;
  if (process.getuid?.() !== 0) throw new Error(advice);
  const { status, stderr, error } = spawnSync('sh', ['-c', command], {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  const installed = tryFind();
  if (installed === undefined) throw new Error(`${advice}; trying it here ended with ${status ?? error}:\n${stderr}`);
  return installed;
}

function tryFind(): string | undefined {
  return INTERPRETERS.find((interpreter) => spawnSync(interpreter, ['-c', `import ${MODULES.join(', ')}`]).status === 0);
}
