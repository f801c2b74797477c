/**
 * Who is at the other end: the peer's address, or what a proxy of ours says of it.
 *
 * Anybody can send an X-Forwarded-For and a PROXY header, and uWebSockets.js reads the latter from everybody: both count only from the networks of
 * `trustedProxies`. Of a chain of addresses the rightmost that is no proxy of ours is the client's: what stands left of it is its own word.
 */
import { BlockList, isIP } from 'node:net';

const MAPPED = /^::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
/** More proxies of one's own than this are a mistake; the header itself is bounded by what fits into a request's head. */
const HOPS_MAX = 32;

/** Canonical: IPv6 in lower case and short, IPv4 in IPv6 as IPv4. '' for what is no address. */
export function canonicalAddress(text: string): string {
  const version = isIP(text);
  if (version === 4) return text;
  if (version !== 6 || text.includes('%')) return '';
  const short = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return MAPPED.exec(short)?.[1] ?? short;
  const [high, low] = [Number.parseInt(mapped[1] as string, 16), Number.parseInt(mapped[2] as string, 16)];
  return `${high >> 8}.${high & 0xff}.${low >> 8}.${low & 0xff}`;
}

interface Network {
  readonly address: string;
  readonly prefixBits: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** `10.0.0.0/8`, `fd00::/8`, or one address; null for what is neither. */
export function parseNetwork(text: string): Network | null {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (rest.length > 0 || version === 0 || address.includes('%')) return null;
  const bitsMax = version === 4 ? 32 : 128;
  if (prefix !== undefined && !/^(0|[1-9]\d{0,2})$/.test(prefix)) return null;
  const prefixBits = prefix === undefined ? bitsMax : Number(prefix);
  return prefixBits > bitsMax ? null : { address, prefixBits, family: version === 4 ? 'ipv4' : 'ipv6' };
}

export class ClientAddresses {
  readonly #trusted = new BlockList();
  /** False: nobody is believed, and a peer's address is the client's. */
  readonly trustsAnybody: boolean;

  /** Throws on what `parseNetwork` does not take. */
  constructor(trustedProxies: readonly string[]) {
    this.trustsAnybody = trustedProxies.length > 0;
    for (const text of trustedProxies) {
      const network = parseNetwork(text);
      if (network === null) throw new RangeError(`no network: '${text}'`);
      this.#trusted.addSubnet(network.address, network.prefixBits, network.family);
    }
  }

  isTrusted(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#trusted.check(address, version === 4 ? 'ipv4' : 'ipv6');
  }

  /**
   * The client's address. `peer` is the socket's, `proxied` the PROXY header's ('' without one), `forwardedFor` all X-Forwarded-For headers in
   * order, joined by commas ('' without one). What is no address ends the search: the last one that was believed stays.
   */
  clientOf(peer: string, proxied: string, forwardedFor: string): string {
    let client = canonicalAddress(peer);
    if (!this.isTrusted(client)) return client;
    const named = canonicalAddress(proxied);
    if (named !== '') client = named;
    const hops = forwardedFor === '' ? [] : forwardedFor.split(',');
    for (let hop = hops.length - 1, left = HOPS_MAX; hop >= 0 && left > 0 && this.isTrusted(client); hop--, left--) {
      const next = canonicalAddress(withoutPort((hops[hop] as string).trim()));
      if (next === '') break;
      client = next;
    }
    return client;
  }
}

/** Some proxies add the port: `192.0.2.1:1234`, `[2001:db8::1]:1234`, `[2001:db8::1]`. */
function withoutPort(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(text);
  if (bracketed !== null) return bracketed[1] as string;
  return /^\d+\.\d+\.\d+\.\d+:\d{1,5}$/.test(text) ? text.slice(0, text.indexOf(':')) : text;
}
