/** What the audit log is told of the configuration, and what health and metrics say of the log. */
import { join } from 'node:path';
import t from 'tap';
import { auditReadings } from '../../../src/app/audit-metrics.ts';
import { loadConfig, type RelayConfig } from '../../../src/app/config.ts';
import { DEFAULTS, SETTING_NAMES } from '../../../src/app/config-table.ts';
import {
  auditHealth,
  configurationFacts,
  createAuditLog,
  recordLane,
  recordStart,
  settingFact,
} from '../../../src/app/relay-audit.ts';
import { type AuditLog, AuditMetrics } from '../../../src/audit/audit-log.ts';
import { verifyFiles } from '../../../src/audit/verify.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { linesIn } from '../audit/audit-rig.ts';

t.test('every setting with its value and where it comes from', async (t) => {
  const { config, origins } = loadConfig({
    argv: ['--port', '0', '--config', 'relay.json'],
    env: { RELAY_LANES: '0' },
    readFile: () => '{"topics": [{"match": "a.>"}]}',
  });
  const facts = configurationFacts(config as RelayConfig, origins);
  t.same(Object.keys(facts), SETTING_NAMES);
  t.match(facts, {
    port: { value: 0, from: '--port' },
    lanes: { value: 0, from: 'RELAY_LANES' },
    topics: { value: [{ match: 'a.>' }], from: 'relay.json: topics' },
    opsPort: { value: DEFAULTS.opsPort, from: 'default' },
    auditLogFile: { value: '', from: 'default' },
  });
});

for (const { name, value, want } of [
  { name: 'opsToken', value: 'hunter2', want: '[redacted]' },
  { name: 'authKeys', value: [{ k: 'hunter2' }], want: '[redacted]' },
  { name: 'hookSecret', value: 'hunter2', want: '[redacted]' },
  { name: 'opsToken', value: '', want: '' },
  { name: 'tlsKeyFile', value: '/etc/relay/key.pem', want: '/etc/relay/key.pem' },
  { name: 'dedupKeysMax', value: 10, want: 10 },
  { name: 'tokenGraceMs', value: 30_000, want: 30_000 },
  {
    name: 'hookUrl',
    value: 'https://ada:hunter2@hook.example/?key=hunter2',
    want: 'https://[redacted]@hook.example/?[redacted]',
  },
  { name: 'anonymousPermissions', value: { sub: ['public.>'] }, want: { sub: ['public.>'] } },
])
  t.test(`a setting in the log: ${name}=${JSON.stringify(value)}`, async (t) => {
    t.same(settingFact(name, value), want);
  });

t.test('a long value is known by its hash', async (t) => {
  const topics = Array.from({ length: 1_000 }, (_, index) => ({ match: `room.${index}` }));
  t.match(settingFact('topics', topics), { characters: JSON.stringify(topics).length, sha256: /^[0-9a-f]{64}$/ });
  t.not(JSON.stringify(settingFact('topics', topics)), JSON.stringify(settingFact('topics', topics.toReversed())));
});

t.test('off unless a file is named; then start, configuration and lanes are in it, and the chain is whole', async (t) => {
  t.equal(createAuditLog(DEFAULTS, systemClock), null);
  const auditLogFile = join(t.testdir({}), 'audit.log');
  const audit = createAuditLog({ ...DEFAULTS, auditLogFile }, systemClock) as AuditLog;
  await audit.open();
  recordStart(audit, '0.1.0', DEFAULTS, new Map());
  recordLane(audit, { kind: 'lost', lane: 1, cause: 'no heartbeat' });
  recordLane(audit, { kind: 'replaced', lane: 1, afterMs: 90.6 });
  await audit.close();
  t.match(linesIn(auditLogFile), [
    { event: 'started', version: '0.1.0', process: process.pid },
    { event: 'configured', settings: { port: { value: 8_080, from: 'default' } } },
    { event: 'laneLost', lane: 1, cause: 'no heartbeat' },
    { event: 'laneReplaced', lane: 1, afterMs: 91 },
  ]);
  t.match(await verifyFiles([auditLogFile]), { problem: null, lines: 4 });
});

t.test('health: not ready while it blocks, ready and with a word about it while it counts', async (t) => {
  t.same(auditHealth(null), []);
  for (const auditOnFailure of ['block', 'count'] as const) {
    const audit = createAuditLog({ ...DEFAULTS, auditLogFile: '/dev/full', auditOnFailure }, systemClock) as AuditLog;
    await audit.open();
    t.match(auditHealth(audit), [{ name: 'audit log', ok: true, detail: '0 lines in the chain' }]);
    audit.record({ kind: 'stopped' });
    await audit.flush();
    t.match(auditHealth(audit), [{ name: 'audit log', ok: auditOnFailure === 'count', detail: /ENOSPC.*1 lines wait/ }]);
    const blocked = auditReadings(audit).find(({ name }) => name === 'relay_audit_blocked');
    t.match(blocked?.values, [{ value: auditOnFailure === 'block' ? 1 : 0 }]);
    await audit.close();
  }
});

t.test('everything that is counted is a metric, with and without a log', async (t) => {
  const readings = auditReadings(null);
  t.equal(readings.filter(({ type }) => type === 'counter').length, Object.keys(new AuditMetrics()).length);
  t.ok(readings.every(({ values }) => values.length === 1));
});
