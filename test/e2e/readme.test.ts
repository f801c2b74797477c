/** The README's example is a file, and the file does what the README says. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import t from 'tap';
import { loadConfig } from '../../src/app/config.ts';
import { Relay } from '../../src/app/relay.ts';

const root = new URL('../../', import.meta.url);

t.test('the README shows examples/hello.ts as it is', async (t) => {
  const readme = readFileSync(new URL('README.md', root), 'utf8');
  const example = readFileSync(new URL('examples/hello.ts', root), 'utf8');
  t.ok(readme.includes(`\`\`\`ts\n${example}\`\`\``), 'the code block of "Thirty seconds" is the file');
});

t.test('the example prints what the README says', async (t) => {
  const { config } = loadConfig({ argv: ['--port', '0', '--ops-port', '0'], env: {}, readFile: () => '' });
  if (config === null) throw new Error('defaults are invalid');
  const relay = new Relay(config);
  await relay.start();
  t.teardown(() => relay.drain());
  const example = new URL('examples/hello.ts', root).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [example, `ws://127.0.0.1:${relay.port}`]);
  t.equal(stdout.trim(), "{ text: 'hello' } true true");
});
