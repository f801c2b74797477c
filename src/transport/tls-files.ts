/**
 * Certificates and keys, read and proven before anything listens: uWebSockets.js listens without a certificate where it cannot read one, and a client
 * would find out what an operator should have.
 *
 * Pure: files and time come in. Problems are for people, each with the setting and the file; warnings let the relay start.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

export interface TlsServerName {
  /** `relay.example.org`, or `*.example.org` for one more label. */
  readonly name: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly passphraseFile?: string;
}

export interface TlsSettings {
  /** '': no TLS. */
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  readonly tlsPassphraseFile: string;
  readonly tlsServerNames: readonly TlsServerName[];
}

/** One certificate with its key, fit to be served. */
export interface TlsCertificate {
  /** The name it is served for; '' is for clients that ask for none, or for one that is not listed. */
  readonly serverName: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly passphrase: string | null;
  /** Of the first of its chain to end, since the Unix epoch. */
  readonly expiresAtMs: number;
  /** Of everything that was read: equal means that nothing has changed. */
  readonly digest: string;
}

export interface LoadedTls {
  /** The one for everybody first; empty where there is no TLS. Only to be used where there are no problems. */
  readonly certificates: readonly TlsCertificate[];
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Text of a file; throws if it cannot be read. */
export type ReadFile = (path: string) => string;

const DAY_MS = 86_400_000;
/** Time enough to renew by hand; automatic renewals come at 30 days. */
export const EXPIRY_WARNING_MS = 14 * DAY_MS;
const RSA_BITS_MIN = 2_048;
/** What browsers and BoringSSL agree on. */
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;
const ENCRYPTED_KEY = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;
const SERVER_NAME = /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SERVER_NAME_LENGTH_MAX = 253;

/** A name that SNI can carry: no address, no port, no capitals. */
export function isServerName(text: string): boolean {
  return text.length <= SERVER_NAME_LENGTH_MAX && SERVER_NAME.test(text) && !/^[\d.]+$/.test(text);
}

export function loadTls(settings: TlsSettings, readFile: ReadFile, nowMs: number): LoadedTls {
  const loaded = new Loading(readFile, nowMs);
  const { tlsCertFile, tlsKeyFile, tlsPassphraseFile, tlsServerNames } = settings;
  if (tlsCertFile === '' || tlsKeyFile === '') return loaded; // Which settings go together is for the configuration's checks.
  loaded.add(
    '',
    { cert: 'tlsCertFile', key: 'tlsKeyFile', passphrase: 'tlsPassphraseFile' },
    tlsCertFile,
    tlsKeyFile,
    tlsPassphraseFile,
  );
  const seen = new Set<string>();
  tlsServerNames.forEach(({ name, certFile, keyFile, passphraseFile = '' }, index) => {
    const path = `tlsServerNames[${index}]`;
    if (seen.has(name)) loaded.problems.push(`${path}.name: ${name} is there twice`);
    seen.add(name);
    const names = { cert: `${path}.certFile`, key: `${path}.keyFile`, passphrase: `${path}.passphraseFile` };
    loaded.add(name, names, certFile, keyFile, passphraseFile);
  });
  return loaded;
}

interface FileNames {
  readonly cert: string;
  readonly key: string;
  readonly passphrase: string;
}

class Loading implements LoadedTls {
  readonly certificates: TlsCertificate[] = [];
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly #readFile: ReadFile;
  readonly #nowMs: number;

  constructor(readFile: ReadFile, nowMs: number) {
    this.#readFile = readFile;
    this.#nowMs = nowMs;
  }

  add(serverName: string, names: FileNames, certFile: string, keyFile: string, passphraseFile: string): void {
    const certText = this.#read(`${names.cert} ${certFile}`, certFile);
    const keyText = this.#read(`${names.key} ${keyFile}`, keyFile);
    const passphraseText = passphraseFile === '' ? null : this.#read(`${names.passphrase} ${passphraseFile}`, passphraseFile);
    const passphrase = passphraseText?.replace(/\r?\n$/, '') ?? null; // Editors end a line; nobody means it.
    const chain = certText === null ? null : this.#parseChain(`${names.cert} ${certFile}`, certText);
    const couldReadPassphrase = passphraseFile === '' || passphraseText !== null;
    const key =
      keyText === null || !couldReadPassphrase
        ? null
        : this.#parseKey(`${names.key} ${keyFile}`, keyText, passphrase, names.passphrase);
    if (chain === null) return;
    const where = `${names.cert} ${certFile}`;
    if (key !== null) this.#checkMatch(where, chain, key, `${names.key} ${keyFile}`);
    this.#checkOrder(where, chain);
    this.#checkTimes(where, chain);
    this.#checkName(where, chain[0] as X509Certificate, serverName);
    this.certificates.push({
      serverName,
      certFile,
      keyFile,
      passphrase,
      expiresAtMs: Math.min(...chain.map((certificate) => Date.parse(certificate.validTo))),
      digest: createHash('sha256')
        .update(JSON.stringify([certText, keyText, passphrase]))
        .digest('hex'),
    });
  }

  #read(where: string, path: string): string | null {
    try {
      return this.#readFile(path);
    } catch (error) {
      this.problems.push(`${where} cannot be read: ${messageOf(error)}`);
      return null;
    }
  }

  #parseChain(where: string, text: string): readonly X509Certificate[] | null {
    const blocks = text.match(CERTIFICATE);
    if (blocks === null) {
      const hint = PRIVATE_KEY.test(text) ? ' (it holds a private key)' : ' (DER can be converted: openssl x509 -inform der)';
      this.problems.push(`${where} holds no certificate in PEM${hint}`);
      return null;
    }
    const chain: X509Certificate[] = [];
    blocks.forEach((block, index) => {
      try {
        chain.push(new X509Certificate(block));
      } catch (error) {
        this.problems.push(`${where}: ${nth(index)} cannot be parsed: ${messageOf(error)}`);
      }
    });
    return chain.length === blocks.length ? chain : null;
  }

  #parseKey(where: string, text: string, passphrase: string | null, passphraseName: string): KeyObject | null {
    if (!PRIVATE_KEY.test(text)) {
      this.problems.push(`${where} holds no private key in PEM`);
      return null;
    }
    const isEncrypted = ENCRYPTED_KEY.test(text);
    if (isEncrypted && passphrase === null) {
      this.problems.push(`${where} is encrypted: ${passphraseName} must name the file of its passphrase`);
      return null;
    }
    try {
      const key = createPrivateKey(passphrase === null ? { key: text } : { key: text, passphrase });
      const problem = weaknessOf(key);
      if (problem !== null) this.problems.push(`${where} ${problem}`);
      return key;
    } catch (error) {
      const hint = isEncrypted ? ` (does ${passphraseName} hold its passphrase?)` : '';
      this.problems.push(`${where} cannot be parsed: ${messageOf(error)}${hint}`);
      return null;
    }
  }

  #checkMatch(where: string, chain: readonly X509Certificate[], key: KeyObject, keyWhere: string): void {
    const at = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
    if (at < 0) this.problems.push(`${keyWhere} is not the key of ${where}`);
    else if (at > 0) this.problems.push(`${where}: the certificate of the key must come first, it is ${nth(at)}`);
  }

  /** Each is issued by the one behind it; a client that does not know the issuer finds no way up otherwise. */
  #checkOrder(where: string, chain: readonly X509Certificate[]): void {
    for (let index = 0; index + 1 < chain.length; index++) {
      const [certificate, issuer] = [chain[index] as X509Certificate, chain[index + 1] as X509Certificate];
      if (certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)) continue;
      this.problems.push(
        `${where}: ${nth(index)} (${oneLine(certificate.subject)}) is not issued by the one behind it (${oneLine(issuer.subject)}); ` +
          'the order is the relay’s own, then each issuer',
      );
      return; // Out of order, every further pair would be told too.
    }
  }

  #checkTimes(where: string, chain: readonly X509Certificate[]): void {
    chain.forEach((certificate, index) => {
      const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
      const which = `${where}: ${nth(index)} (${oneLine(certificate.subject)})`;
      if (this.#nowMs < fromMs) this.problems.push(`${which} is not valid before ${new Date(fromMs).toISOString()}`);
      else if (this.#nowMs >= toMs) this.problems.push(`${which} has expired at ${new Date(toMs).toISOString()}`);
      else if (this.#nowMs >= toMs - EXPIRY_WARNING_MS) this.warnings.push(`${which} expires at ${new Date(toMs).toISOString()}`);
    });
  }

  #checkName(where: string, certificate: X509Certificate, serverName: string): void {
    // A wildcard is covered where any name below it is.
    if (serverName === '' || certificate.checkHost(serverName.replace('*', 'any-name')) !== undefined) return;
    const names = certificate.subjectAltName ?? oneLine(certificate.subject);
    this.problems.push(`${where} is not for ${serverName}: its names are ${names}`);
  }
}

function weaknessOf(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    return bits >= RSA_BITS_MIN ? null : `is an RSA key of ${bits} bits: ${RSA_BITS_MIN} are the least`;
  }
  if (type === 'ec') {
    const curve = details?.namedCurve ?? '';
    return CURVES.includes(curve) ? null : `is a key on the curve ${curve}: ${CURVES.join(', ')} are served`;
  }
  return type === 'ed25519' ? null : `is a ${type} key: RSA, EC and Ed25519 are served`;
}

function nth(index: number): string {
  return `certificate ${index + 1}`;
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
