/**
 * Which web pages may use the relay: the Origin header of a browser against the list of the configuration, and what CORS answers to those that may.
 *
 * A browser sends Origin by itself and no page can change it; whoever is no browser may send what it likes, or none. So this keeps a foreign page
 * from acting with what a user's browser has, and is no authentication.
 */
import { HTTP_ROUTES } from '../front/http-routes.ts';

/** With a host of its own, or `*.` before a host: any name below it, not the host itself. */
const RULE = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9]\d{0,4}))?$/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443', ws: '80', wss: '443' };
/** What a browser may keep of a preflight's answer. */
const PREFLIGHT_AGE_SECONDS = 600;
/** Of what a request of ours may carry beyond what every page may send. */
const REQUEST_HEADERS = 'Authorization, Content-Type';
/** Of what an answer of ours carries beyond what every page may read. */
const RESPONSE_HEADERS = 'Retry-After';

export type Headers = Readonly<Record<string, string>>;

/** The rule as it is compared, or null where it is none. A trailing slash, a path or a query is none: browsers send neither. */
export function parseOrigin(text: string): string | null {
  const match = RULE.exec(text.toLowerCase());
  if (match === null) return null;
  const [, scheme = '', wildcard = '', host = '', port] = match;
  if (port !== undefined && Number(port) > 65_535) return null;
  // Browsers leave the scheme's own port out.
  return `${scheme}://${wildcard}${host}${port === undefined || port === DEFAULT_PORTS[scheme] ? '' : `:${port}`}`;
}

export class Origins {
  readonly #exact = new Set<string>();
  /** `https://*.example.org:8443` as what the origin begins and ends with. */
  readonly #below: { readonly start: string; readonly end: string }[] = [];

  /** Empty: any origin, and no answers to CORS. Throws on what `parseOrigin` does not take. */
  constructor(rules: readonly string[]) {
    for (const text of rules) {
      const rule = parseOrigin(text);
      if (rule === null) throw new RangeError(`no origin: '${text}'`);
      const at = rule.indexOf('*');
      if (at < 0) this.#exact.add(rule);
      else this.#below.push({ start: rule.slice(0, at), end: rule.slice(at + 1) });
    }
  }

  get isAny(): boolean {
    return this.#exact.size === 0 && this.#below.length === 0;
  }

  /** `''`: no Origin header, no browser. `null` (a sandboxed page, a file) is allowed by an empty list only. */
  allows(origin: string): boolean {
    if (origin === '' || this.isAny) return true;
    const given = origin.toLowerCase();
    if (this.#exact.has(given)) return true;
    return this.#below.some(
      ({ start, end }) =>
        given.startsWith(start) &&
        given.endsWith(end) &&
        // In between is a name: something, and nothing that ends a host.
        /^[a-z0-9_-][a-z0-9._-]*$/.test(given.slice(start.length, given.length - end.length)),
    );
  }

  /** What an answer says besides, so that the page may read it. Nothing where any origin may come: then no page needs to read answers. */
  headersFor(origin: string): Headers {
    if (this.isAny) return {};
    if (origin === '' || !this.allows(origin)) return { Vary: 'Origin' };
    return { Vary: 'Origin', 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': RESPONSE_HEADERS };
  }

  /** The answer's headers to a preflight of an allowed origin for this path; null where it is no preflight, or none of ours. */
  preflightFor(path: string, origin: string, requestedMethod: string): Headers | null {
    if (this.isAny || origin === '' || requestedMethod === '' || !this.allows(origin)) return null;
    const methods = HTTP_ROUTES.filter((route) => route.path === path).map(({ method }) => method);
    if (methods.length === 0) return null;
    return {
      Vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Allow-Methods': [...new Set(methods)].join(', '),
      'Access-Control-Allow-Headers': REQUEST_HEADERS,
      'Access-Control-Max-Age': String(PREFLIGHT_AGE_SECONDS),
    };
  }
}
