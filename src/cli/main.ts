/**
 * `relay`: the command line. One line of routing per command; each command is a file of its own.
 *
 * Exit codes: 0 done, 1 failed (an assertion, a server that cannot listen), 2 misuse (flags, configuration).
 */
import process from 'node:process';

const COMMANDS: Readonly<
  Record<string, { readonly about: string; readonly load: () => Promise<(argv: string[]) => Promise<number>> }>
> = {
  serve: { about: 'run a relay', load: async () => (await import('./serve.ts')).serve },
  pub: { about: 'publish to a topic', load: async () => (await import('./pub-sub.ts')).publish },
  sub: {
    about: 'subscribe to a topic or pattern and print what comes',
    load: async () => (await import('./pub-sub.ts')).subscribe,
  },
  call: { about: 'call a method of a service', load: async () => (await import('./services.ts')).callCommand },
  services: { about: 'list the services that are registered', load: async () => (await import('./services.ts')).servicesCommand },
  workflow: {
    about: 'define, start, watch and steer workflows',
    load: async () => (await import('./workflow.ts')).workflowCommand,
  },
  token: { about: 'make, look at and try tokens and keys', load: async () => (await import('./token.ts')).tokenCommand },
  revoke: { about: 'take tokens back, at a running relay', load: async () => (await import('./revoke.ts')).revokeCommand },
  top: { about: 'watch a running relay in the terminal', load: async () => (await import('./top.ts')).top },
  bench: { about: 'open-loop load generator', load: async () => (await import('./bench/command.ts')).benchCommand },
  doctor: {
    about: 'check this machine and, with --url, a running relay',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  audit: { about: 'verify or show an audit log', load: async () => (await import('./audit.ts')).audit },
  config: { about: 'check, print or document the configuration', load: async () => (await import('./config.ts')).config },
};

const [name, ...argv] = process.argv.slice(2);
const command = name === undefined ? undefined : COMMANDS[name];
if (command === undefined) {
  const asked = name === undefined || name === 'help' || name === '--help' || name === '-h';
  const lines = Object.entries(COMMANDS).map(([key, { about }]) => `  relay ${key.padEnd(8)} ${about}`);
  const text = `${asked ? '' : `relay: no command '${name}'\n`}usage:\n${lines.join('\n')}\n\nrelay COMMAND --help lists a command's flags.\n`;
  (asked ? process.stdout : process.stderr).write(text);
  process.exitCode = asked ? 0 : 2;
} else {
  // A long-running command keeps the loop alive itself; the code is set when it is done.
  process.exitCode = await (await command.load())(argv);
}
