/**
 * `relay doctor`: can this machine run a relay, and does the one at --url answer? Each line says what was found and, if it is bad, what to do.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { createClient } from '../client/index.ts';
import { tokenOption } from './client-command.ts';
import { type Flag, parse } from './flags.ts';

const FLAGS: Readonly<Record<string, Flag>> = {
  url: {
    type: 'string',
    about:
      'also publish and subscribe through this relay, e.g. ws://127.0.0.1:8080; RELAY_TOKEN has the token, where it wants one',
  },
};
/** One file per connection, and some for the process itself. */
const OPEN_FILES_WANTED = 10_240;
/** Those with a uWebSockets.js build in package.json. */
const NODE_MAJORS: readonly number[] = [22, 24];
const MEMORY_WANTED_BYTES = 512 * 1_024 * 1_024;

interface Finding {
  readonly ok: boolean;
  readonly what: string;
  readonly advice?: string;
}

export async function doctor(argv: string[]): Promise<number> {
  const parsed = parse('relay doctor [--url URL]', FLAGS, argv, [0, 0]);
  if (parsed.kind === 'exit') return parsed.code;
  const findings = [node(), openFiles(), cores(), memory(), await uws()];
  if (typeof parsed.values['url'] === 'string') findings.push(await roundTrip(parsed.values['url']));
  for (const { ok, what, advice } of findings)
    process.stdout.write(`${ok ? 'ok   ' : 'BAD  '} ${what}${ok || advice === undefined ? '' : `\n      ${advice}`}\n`);
  return findings.every((finding) => finding.ok) ? 0 : 1;
}

function node(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  return {
    ok: NODE_MAJORS.includes(major),
    what: `Node ${process.version}`,
    advice: 'Run it by `npm start` or `npm run relay --`, which use the pinned Node 22; Node 24 is supported too.',
  };
}

function openFiles(): Finding {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1] ?? '0';
  const count = soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  return {
    ok: count >= OPEN_FILES_WANTED,
    what: `open files at most ${soft}: room for about ${count === Number.POSITIVE_INFINITY ? 'any number of' : Math.max(0, count - 100)} connections`,
    advice: `For 10,000 connections raise it: \`ulimit -n ${2 * OPEN_FILES_WANTED}\`, LimitNOFILE in systemd, or nofile in the container.`,
  };
}

function cores(): Finding {
  const count = availableParallelism();
  return {
    ok: true,
    what: `${count} cores: ${count > 1 ? `lanes auto = ${count - 1}` : 'one core; --lanes 0 saves the wake-ups'}`,
  };
}

function memory(): Finding {
  const bytes = totalmem();
  return {
    ok: bytes >= MEMORY_WANTED_BYTES,
    what: `${Math.round(bytes / 1_048_576)} MiB of memory`,
    advice: 'A relay with 10,000 connections and history wants 512 MiB.',
  };
}

async function uws(): Promise<Finding> {
  try {
    const { checkTransport } = await import('../app/transport-check.ts');
    checkTransport();
    return { ok: true, what: 'uWebSockets.js loads' };
  } catch (error) {
    return { ok: false, what: 'uWebSockets.js does not load', advice: (error as Error).message };
  }
}

/** One message from a publisher to a subscriber and back to us, by the SDK. */
async function roundTrip(url: string): Promise<Finding> {
  const client = createClient({ url, ...tokenOption(), client: 'doctor', helloTimeoutMs: 5_000, reconnect: { attemptsMax: 1 } });
  const topic = `doctor.${Math.random().toString(36).slice(2)}`;
  try {
    await client.connect();
    const subscription = client.subscribe(topic);
    await subscription.ready();
    const startedMs = performance.now();
    await client.publish(topic, 'are you there?', { timeoutMs: 5_000 });
    for await (const _message of subscription) break;
    const roundTripMs = (performance.now() - startedMs).toFixed(2);
    return { ok: true, what: `${url}: subscribed, published and received in ${roundTripMs} ms` };
  } catch (error) {
    return {
      ok: false,
      what: `${url}: ${(error as Error).message}`,
      advice: 'Is the relay running there, and may this machine reach it?',
    };
  } finally {
    await client.close();
  }
}
