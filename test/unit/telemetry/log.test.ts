import t from 'tap';
import { createLog } from '../../../src/telemetry/log.ts';

t.test('lines are JSON, with level, time and facts; below the level there are none', async (t) => {
  const lines: string[] = [];
  const log = createLog('info', 'json', (line) => lines.push(line));
  log.debug('not this one');
  log.warn('lane replaced', { lane: 1, afterMs: 80 });
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0] as string), { level: 'warn', msg: 'lane replaced', lane: 1, afterMs: 80, time: /^\d{4}-.*Z$/ });
});

t.test('for people the same as text', async (t) => {
  const lines: string[] = [];
  createLog('debug', 'text', (line) => lines.push(line)).info('listening', { lanes: '1 lane', port: 8080 });
  t.match(lines[0], /^\d{4}-\S+Z info {2}listening lanes="1 lane" port=8080\n$/);
});

t.test('what must never be logged is not, at the top and one level down, in either form', async (t) => {
  for (const format of ['json', 'text'] as const) {
    const lines: string[] = [];
    const log = createLog('info', format, (line) => lines.push(line));
    for (const name of [
      'token',
      'authorization',
      'cookie',
      'password',
      'secret',
      'payload',
      'opsToken',
      'authKeys',
      'jwk',
      'jwt',
    ])
      log.error('refused', { [name]: 'hunter2', hello: { [name]: 'hunter2' } });
    t.equal(lines.length, 10);
    for (const line of lines) t.ok(!line.includes('hunter2') && line.includes('[redacted]'), line);
  }
});

t.test('level silent says nothing', async (t) => {
  const lines: string[] = [];
  createLog('silent', 'json', (line) => lines.push(line)).error('nothing');
  t.same(lines, []);
});
