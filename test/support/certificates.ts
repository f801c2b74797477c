/**
 * Certificates for tests, made when they are needed: as many as a test wants, valid when it wants, for the names it wants. X.509 by hand, as far as
 * TLS asks for it, so that no test needs openssl and no key is in the repository.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface CertificateOptions {
  /** DNS names and IPv4 addresses. Default: localhost and 127.0.0.1. */
  readonly names?: readonly string[];
  readonly subject?: string;
  /** Default: itself. */
  readonly issuer?: TestCertificate;
  readonly isAuthority?: boolean;
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly keyType?: TestKeyType;
}

export type TestKeyType = 'p256' | 'secp256k1' | 'rsa2048' | 'rsa1024' | 'ed25519';

const DAY_MS = 86_400_000;
/** DER. */
const [BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, UTF8, GENERALIZED_TIME, SEQUENCE, SET] = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x18, 0x30, 0x31,
] as const;
const context = (number: number, isConstructed = true): number => 0x80 | (isConstructed ? 0x20 : 0) | number;
const VERSION_3 = der(context(0), der(INTEGER, Buffer.of(2)));
const ALGORITHMS: Readonly<Record<string, Buffer>> = {
  ec: der(SEQUENCE, oid(1, 2, 840, 10045, 4, 3, 2)),
  rsa: der(SEQUENCE, oid(1, 2, 840, 113549, 1, 1, 11), der(NULL)),
  ed25519: der(SEQUENCE, oid(1, 3, 101, 112)),
};

export class TestCertificate {
  readonly pem: string;
  readonly subject: string;
  readonly key: KeyObject;

  constructor(options: CertificateOptions = {}) {
    const { names = ['localhost', '127.0.0.1'], subject = names[0] ?? 'test', issuer, isAuthority = false } = options;
    const { fromMs = Date.now() - DAY_MS, toMs = Date.now() + 365 * DAY_MS, keyType = 'p256' } = options;
    const { publicKey, privateKey } = keyPair(keyType);
    this.subject = subject;
    this.key = privateKey;
    const signer = issuer?.key ?? privateKey;
    const algorithm = ALGORITHMS[signer.asymmetricKeyType as string] as Buffer;
    const extensions = [
      extension(oid(2, 5, 29, 19), true, der(SEQUENCE, ...(isAuthority ? [der(BOOLEAN, Buffer.of(0xff))] : []))),
      ...(names.length === 0 ? [] : [extension(oid(2, 5, 29, 17), false, der(SEQUENCE, ...names.map(generalName)))]),
    ];
    const body = der(
      SEQUENCE,
      VERSION_3,
      der(INTEGER, Buffer.concat([Buffer.of(0x01), randomBytes(15)])),
      algorithm,
      distinguishedName(issuer?.subject ?? subject),
      der(SEQUENCE, time(fromMs), time(toMs)),
      distinguishedName(subject),
      publicKey.export({ type: 'spki', format: 'der' }),
      der(context(3), der(SEQUENCE, ...extensions)),
    );
    const signature = sign(signer.asymmetricKeyType === 'ed25519' ? null : 'sha256', body, signer);
    const bytes = der(SEQUENCE, body, algorithm, der(BIT_STRING, Buffer.of(0), signature));
    const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
    this.pem = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
  }

  get keyPem(): string {
    return this.key.export({ type: 'pkcs8', format: 'pem' }) as string;
  }

  encryptedKeyPem(passphrase: string): string {
    return this.key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }) as string;
  }
}

function keyPair(type: TestKeyType): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  switch (type) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    case 'secp256k1':
      return generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    case 'rsa2048':
      return generateKeyPairSync('rsa', { modulusLength: 2_048 });
    case 'rsa1024':
      return generateKeyPairSync('rsa', { modulusLength: 1_024 });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    default:
      return type satisfies never;
  }
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

function oid(first: number, second: number, ...rest: readonly number[]): Buffer {
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift(0x80 | (left & 0x7f));
    bytes.push(...groups);
  }
  return der(OID, Buffer.from(bytes));
}

function distinguishedName(commonName: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, oid(2, 5, 4, 3), der(UTF8, Buffer.from(commonName)))));
}

function time(ms: number): Buffer {
  return der(GENERALIZED_TIME, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]|\..*/g, '')}Z`));
}

function generalName(name: string): Buffer {
  return /^[\d.]+$/.test(name)
    ? der(context(7, false), Buffer.from(name.split('.').map(Number)))
    : der(context(2, false), Buffer.from(name));
}

function extension(id: Buffer, isCritical: boolean, value: Buffer): Buffer {
  return der(SEQUENCE, id, ...(isCritical ? [der(BOOLEAN, Buffer.of(0xff))] : []), der(OCTET_STRING, value));
}
