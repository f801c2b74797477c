/** The command from its flags to its exit code and files. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import t from 'tap';
import { benchCommand } from '../../../src/cli/bench/command.ts';
import { startFakeRelay } from './fake-relay.ts';

t.setTimeout(110_000);

/** Runs the command with stdout and stderr caught. */
async function command(argv: readonly string[]) {
  const said = { out: '', err: '' };
  const { write: writeOut } = process.stdout;
  const { write: writeErr } = process.stderr;
  process.stdout.write = ((text: string) => {
    said.out += text;
    return true;
  }) as never;
  process.stderr.write = ((text: string) => {
    said.err += text;
    return true;
  }) as never;
  try {
    const code = await benchCommand(argv);
    return { code, ...said };
  } finally {
    process.stdout.write = writeOut;
    process.stderr.write = writeErr;
  }
}

t.test('the command: misuse is 2, a failed assertion 1 with the figure, a good run 0 with its files', async (t) => {
  let drops = 1; // In the first run only.
  const faultOf = (message: number, member: number) => (message === 40 && member === 4 && drops-- > 0 ? 'drop' : 'none');
  const relay = await startFakeRelay({ streams: 4, faultOf });
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const load = `--url ${relay.url} --connections 20 --rooms 4 --rate 200 --duration 0.6 --warmup 0 --connect-rate 5000`.split(
    ' ',
  );
  try {
    const misuse = await command(['--rate', 'x', '--mode', 'y']);
    t.equal(misuse.code, 2);
    t.match(misuse.err, /wrong flags:\n {2}--rate must be .*\n {2}--mode must be /);
    const help = await command(['--help']);
    t.equal(help.code, 0);
    t.match(help.out, '--connections');

    const failed = await command([...load, '--json', '-', '--assert', 'lost=0,delivered>1']);
    t.equal(failed.code, 1);
    t.equal(failed.err, 'assertion failed: lost=0, got 1\n');
    t.equal((JSON.parse(failed.out) as { lost: number }).lost, 1, 'stdout is JSON and nothing else');

    const json = join(folder, 'out.json');
    const hgrm = join(folder, 'out.hgrm');
    const good = await command([...load, '--json', json, '--hgrm', hgrm, '--assert', 'lost=0']);
    t.equal(good.code, 0);
    t.match(good.out, /^latency +p50 /m);
    t.equal((JSON.parse(readFileSync(json, 'utf8')) as { lost: number }).lost, 0);
    t.match(readFileSync(hgrm, 'utf8'), /Percentile/);

    const unwritable = await command([...load, '--json', join(folder, 'no', 'such')]);
    t.equal(unwritable.code, 1);
    t.match(unwritable.err, /no such file/);
  } finally {
    relay.stop();
    rmSync(folder, { recursive: true });
  }
});
