/** While nothing can be written down, nobody new comes in, and who is in goes on. */
import t from 'tap';
import { AdmissionGate } from '../../../src/front/admission.ts';
import { FrontMetrics } from '../../../src/front/front-metrics.ts';
import { Rig } from './http-rig.ts';

t.test('the gate: refused with a time to come back, counted, and told nothing of the cause', async (t) => {
  const metrics = new FrontMetrics();
  const gate = new AdmissionGate({ connectionsMax: 10, connectRatePerSecond: 10 }, metrics, 0);
  t.match(gate.admit(0, false, 0, '', true), {
    admitted: false,
    reason: 'the relay takes nobody in just now',
    retryAfterSeconds: 5,
  });
  t.equal(metrics.connectionsRefusedAudit, 1);
  t.match(gate.admit(0, false, 0, '', false), { admitted: true });
  t.match(gate.admit(0, true, 0, '', true), { reason: /shutting down/ }, 'a relay that leaves says that it leaves');
});

t.test('HTTP: 503, and as before when it is over', async (t) => {
  const rig = new Rig();
  let isBlocked = true;
  rig.front.isAuditBlocked = () => isBlocked;
  t.match(rig.postJson('/v1/publish?topic=a', 1), {
    status: 503,
    headers: { 'Retry-After': '1' },
    body: { error: { code: 106 } },
  });
  t.equal(rig.gateway.metrics.refused, 1);
  t.equal(rig.front.admit().admitted, false);
  isBlocked = false;
  t.equal(rig.postJson('/v1/publish?topic=a', 1).status, 200);
  t.equal(rig.front.admit().admitted, true);
});
