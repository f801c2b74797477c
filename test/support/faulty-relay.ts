/** `relay serve` as a test's child process, with lanes that fail when told to (faulty-lane-worker.ts). Only the lanes' entry differs. */
import process from 'node:process';
import { loadConfig } from '../../src/app/config.ts';
import { Relay } from '../../src/app/relay.ts';

const { config, problems } = loadConfig({ argv: process.argv.slice(3), env: {}, readFile: () => '' });
if (config === null) throw new Error(problems.join('\n'));
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const relay = new Relay(config, {
  laneWorkerUrl: new URL('./faulty-lane-worker.ts', import.meta.url),
  onLaneEvent: (event) =>
    say(`lane ${event.kind} lane=${event.lane}${event.kind === 'lost' ? ` cause=${event.cause.split('\n')[0]}` : ''}`),
});
await relay.start();
say(`listening on ${relay.port}`);
say(`ops on ${relay.opsPort}`);
process.once('SIGTERM', () => void relay.drain());
