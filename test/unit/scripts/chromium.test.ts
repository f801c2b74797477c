/** The browser tests find Chromium, get it, or say in one sentence what is missing: they are never passed over. */
import t from 'tap';
import { installChromium, type Machine, requireChromium } from '../../../scripts/chromium.ts';

interface Made {
  readonly has?: readonly string[];
  readonly isRoot?: boolean;
  /** Asked before each command, with what ran before it. */
  readonly fails?: (command: string, earlier: readonly string[]) => boolean;
}

/** A machine on which an install that does not fail brings Chromium. */
function machineOf({ has = [], isRoot = true, fails = () => false }: Made): Machine & { readonly commands: string[] } {
  const files = new Set(has);
  const commands: string[] = [];
  return {
    commands,
    isRoot,
    has: (path) => files.has(path),
    run: (...words) => {
      const command = words.join(' ');
      const isDone = !fails(command, commands);
      commands.push(command);
      if (isDone && words.includes('install')) files.add('/usr/bin/chromium');
      return isDone;
    },
  };
}

t.test('it is there: nothing is run', async (t) => {
  const machine = machineOf({ has: ['/usr/bin/chromium', '/usr/bin/apt-get'] });
  t.equal(installChromium(machine), true);
  t.same(machine.commands, []);
  t.equal(requireChromium(machine), '/usr/bin/chromium');
});

t.test('root on Debian: the package is installed, after an update where the list is old', async (t) => {
  const fresh = machineOf({ has: ['/usr/bin/apt-get'] });
  t.equal(installChromium(fresh), true);
  t.match(fresh.commands, [/^apt-get install .*\bchromium\b/]);
  const old = machineOf({
    has: ['/usr/bin/apt-get'],
    fails: (command, earlier) => command.includes(' install ') && earlier.length === 0,
  });
  t.equal(installChromium(old), true);
  t.match(old.commands, [/ install /, / update /, / install /]);
});

for (const { name, made } of [
  { name: 'nobody’s machine', made: { has: ['/usr/bin/apt-get'], isRoot: false } },
  { name: 'no apt', made: { has: [] } },
  { name: 'no package to be had', made: { has: ['/usr/bin/apt-get'], fails: () => true } },
]) {
  t.test(`${name}: one sentence that says what to do`, async (t) => {
    const machine = machineOf(made);
    t.equal(installChromium(machine), false);
    t.throws(
      () => requireChromium(machine),
      /^the browser tests need Chromium and this machine has none of .*: apt-get install chromium$/,
    );
  });
}
