/** Certificates while the relay runs: a reload never leaves it with worse ones, and says what came of it. */
import t from 'tap';
import { RelayTls, type TlsEvent } from '../../../src/app/relay-tls.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import type { TlsCertificate } from '../../../src/transport/tls-files.ts';
import { TestCertificate } from '../../support/certificates.ts';

const DAY_MS = 86_400_000;
const SETTINGS = { tlsCertFile: 'cert.pem', tlsKeyFile: 'key.pem', tlsPassphraseFile: '', tlsServerNames: [] };

class Rig {
  readonly clock = new ManualClock();
  readonly events: TlsEvent[] = [];
  readonly used: (readonly TlsCertificate[])[] = [];
  readonly files: Record<string, string> = {};
  /** What writes the files while they are read. */
  onUse = (): void => {};
  readonly tls: RelayTls;

  constructor(days = 100) {
    this.write(this.certificate(days));
    this.tls = new RelayTls(
      SETTINGS,
      this.clock,
      (event) => this.events.push(event),
      (path) => {
        const text = this.files[path];
        if (text === undefined) throw new Error('ENOENT');
        return text;
      },
    );
  }

  certificate(days = 100): TestCertificate {
    return new TestCertificate({ fromMs: 0, toMs: this.clock.nowMs() + days * DAY_MS });
  }

  write({ pem, keyPem }: TestCertificate): void {
    this.files['cert.pem'] = pem;
    this.files['key.pem'] = keyPem;
  }

  /** The events of this reload. */
  reload(): readonly TlsEvent[] {
    this.events.length = 0;
    this.tls.reload((certificates) => {
      this.onUse();
      this.used.push(certificates);
    });
    return this.events;
  }
}

t.test('without problems nothing is said, and the time to the end is known', async (t) => {
  const rig = new Rig();
  t.same(rig.events, []);
  t.same(rig.tls.expirySeconds(), [{ serverName: '', seconds: (100 * DAY_MS) / 1_000 }]);
  rig.clock.advance(101 * DAY_MS);
  t.same(rig.tls.expirySeconds(), [{ serverName: '', seconds: -DAY_MS / 1_000 }], 'and goes below zero');
});

t.test('all problems are in the error of the start', async (t) => {
  t.throws(
    () =>
      new RelayTls(
        SETTINGS,
        new ManualClock(),
        () => {},
        () => {
          throw new Error('ENOENT');
        },
      ),
    /^TLS cannot be served: tlsCertFile cert\.pem cannot be read: ENOENT; tlsKeyFile key\.pem cannot be read/,
  );
});

t.test('new files are taken into service', async (t) => {
  const rig = new Rig(5);
  t.match(rig.events, [{ kind: 'expiring' }]);
  rig.write(rig.certificate());
  t.same(rig.reload(), [{ kind: 'replaced', files: ['cert.pem'] }]);
  t.equal(rig.used.length, 1);
  t.equal(rig.tls.certificates, rig.used[0]);
});

t.test('files that are as before are left alone', async (t) => {
  const rig = new Rig();
  t.same(rig.reload(), [{ kind: 'unchanged' }]);
  t.same(rig.used, []);
});

t.test('bad files change nothing, and all that is wrong is told; good ones behind them are taken', async (t) => {
  const rig = new Rig();
  const before = rig.tls.certificates;
  rig.files['key.pem'] = rig.certificate().keyPem;
  t.match(rig.reload(), [{ kind: 'refused', problems: ['tlsKeyFile key.pem is not the key of tlsCertFile cert.pem'] }]);
  rig.write(rig.certificate(-1));
  t.match(rig.reload(), [{ kind: 'refused', problems: [/has expired/] }]);
  delete rig.files['cert.pem'];
  t.match(rig.reload(), [{ kind: 'refused', problems: [/cannot be read/] }]);
  t.equal(rig.tls.certificates, before);
  t.equal(rig.tls.failedReloads, 3);
  t.same(rig.used, []);
  rig.write(rig.certificate());
  t.match(rig.reload(), [{ kind: 'replaced' }]);
});

t.test('what the transport cannot use is refused too', async (t) => {
  const rig = new Rig();
  const before = rig.tls.certificates;
  rig.write(rig.certificate());
  rig.onUse = () => {
    throw new Error('no such cipher');
  };
  t.same(rig.reload(), [{ kind: 'refused', problems: ['no such cipher'] }]);
  t.equal(rig.tls.certificates, before);
});

t.test('files that are written while they are read are told of', async (t) => {
  const rig = new Rig();
  rig.write(rig.certificate());
  rig.onUse = () => rig.write(rig.certificate());
  t.match(rig.reload(), [{ kind: 'replaced' }, { kind: 'refused', problems: [/changed while they were read/] }]);
});

t.test('a certificate that ends soon is told of once a day, also when it has ended', async (t) => {
  const rig = new Rig(15);
  const days: number[] = [];
  for (let day = 1; day <= 17; day++) {
    rig.events.length = 0;
    for (let hour = 0; hour < 24; hour++) {
      rig.clock.advance(DAY_MS / 24);
      rig.tls.tick();
    }
    if (rig.events.length > 0) days.push(day);
    t.ok(rig.events.length <= 1);
  }
  t.same(
    days,
    Array.from({ length: 17 }, (_, index) => index + 1),
  );
  t.match(rig.events, [{ kind: 'expiring', problem: /^cert\.pem: its chain ends at / }]);
});
