/** Settings of TLS, origins, proxies and what an HTTP connection may take. Part of the table in ../config-table.ts, which see. */

import { parseNetwork } from '../../transport/client-address.ts';
import { parseOrigin } from '../../transport/origins.ts';
import { isServerName, type TlsServerName } from '../../transport/tls-files.ts';
import { integer, path, type Setting, type SettingText } from '../setting.ts';

const TLS = 'TLS';
const ORIGINS = 'Origins, proxies and HTTP connections';
const FILE_LENGTH_MAX = 4_096;

export const TLS_SETTINGS = {
  tlsCertFile: path('', {
    group: TLS,
    what: 'PEM file of the relay’s certificate and, behind it, those of its issuers. With it the public port speaks TLS 1.2 and 1.3 and nothing else; the ops port does not. Empty: no TLS. See [TLS](tls.md).',
    metrics: ['relay_tls_certificate_expires_seconds'],
  }),
  tlsKeyFile: path('', {
    group: TLS,
    what: 'PEM file of its private key: RSA (2,048 bits at least), EC (P-256, P-384, P-521) or Ed25519.',
  }),
  tlsPassphraseFile: path('', {
    group: TLS,
    what: 'A file with the passphrase of the key, where it is encrypted. A line’s end behind it does not count.',
  }),
  tlsServerNames: checkedList<TlsServerName>(
    'a list of {name, certFile, keyFile, passphraseFile?} with names such as relay.example.org or *.example.org',
    isTlsServerName,
    {
      group: TLS,
      what: 'Further certificates, by the name that a client asks for (SNI). Who asks for another name, or for none, gets `tlsCertFile`. On the command line and in the environment as JSON.',
      metrics: ['relay_tls_certificate_expires_seconds'],
    },
  ),
  allowedOrigins: checkedList<string>(
    'a list of origins such as https://app.example.org or https://*.example.org',
    (item): item is string => typeof item === 'string' && parseOrigin(item) !== null,
    {
      group: ORIGINS,
      what: 'Web pages that may use the relay, by their origin; `*.` stands for any name below. Empty: all may, and no CORS headers are sent. Programs that are no browser send no origin and are not asked.',
      atBound: 'Refused before the upgrade, and over HTTP: 403.',
      metrics: ['relay_origins_refused_total'],
    },
  ),
  trustedProxies: checkedList<string>(
    'a list of networks such as 10.0.0.0/8, fd00::/8 or 192.0.2.7',
    (item): item is string => typeof item === 'string' && parseNetwork(item) !== null,
    {
      group: ORIGINS,
      what: 'Networks of balancers whose `X-Forwarded-For` and PROXY protocol v2 are believed. Empty: nobody is, and a client’s address is that of its socket.',
    },
  ),
  httpBodyTimeoutMs: integer(30_000, [100, 600_000], {
    group: ORIGINS,
    what: 'For the body of one HTTP request, from its head to its last byte. uWebSockets.js cuts a body that is slower than 16 KB/s by itself, after 8 to 12 s.',
    atBound: 'Answered 408.',
    metrics: ['relay_http_bodies_timed_out_total'],
  }),
  httpConnectionsMax: integer(10_000, [16, 1_000_000], {
    group: ORIGINS,
    what: 'Connections that are no WebSocket, or not yet: from the first packet to the upgrade or the answer. Each has 8 to 12 s to send the head of its request.',
    atBound: 'Closed at once, without an answer.',
    metrics: ['relay_http_connections', 'relay_http_connections_refused_total'],
  }),
} as const satisfies Record<string, Setting<unknown>>;

/** A list whose entries are all judged; in text form JSON, or entries with commas between them where they are texts. */
function checkedList<T>(allowed: string, isItem: (item: unknown) => item is T, text: SettingText): Setting<readonly T[]> {
  const fromJson = (value: unknown): readonly T[] | undefined =>
    Array.isArray(value) && value.every(isItem) ? (value as readonly T[]) : undefined;
  const fromText = (given: string): readonly T[] | undefined => {
    if (!given.trimStart().startsWith('[')) return fromJson(given.split(',').map((item) => item.trim()));
    try {
      return fromJson(JSON.parse(given));
    } catch {
      return undefined;
    }
  };
  return { ...text, default: [], allowed, isSwitch: false, fromJson, fromText };
}

function isTlsServerName(item: unknown): item is TlsServerName {
  if (typeof item !== 'object' || item === null) return false;
  const { name, certFile, keyFile, passphraseFile = '', ...rest } = item as Record<string, unknown>;
  return (
    typeof name === 'string' &&
    isServerName(name) &&
    [certFile, keyFile].every((file) => isPath(file) && file !== '') &&
    isPath(passphraseFile) &&
    Object.keys(rest).length === 0
  );
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && value.length <= FILE_LENGTH_MAX && !value.includes('\0');
}
