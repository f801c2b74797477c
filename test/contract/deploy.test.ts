/**
 * What stands in deploy/ holds against the relay as it is: its settings, its ports, its times, and every metric that is asked for.
 * (scripts/check-deploy.ts; test/unit/scripts/deploy.test.ts shows that each check can fail.)
 */
import t from 'tap';
import { checkDeploy } from '../../scripts/check-deploy.ts';

const areas = await checkDeploy();

for (const { name, problems, note } of areas) {
  t.test(`deploy: ${name}${note === undefined ? '' : ` (${note})`}`, async (t) => {
    t.same(problems, []);
  });
}

t.test('deploy: every area was looked at', async (t) => {
  t.match(
    areas.map(({ name }) => name.split(':')[0]),
    ['image', 'compose', 'kubernetes', 'metrics', 'promtool', 'systemd unit', 'systemd-analyze', 'ci workflow'],
  );
});
