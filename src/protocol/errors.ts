import { WIRE_ERRORS, type WireErrorName } from './codes.ts';

/** Facts of an error: small, printable, safe to send to the peer that caused it. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | null>>;

/** `text: name=value, …`: how facts read in texts, logs and close reasons alike. */
export function withFacts(text: string, facts: ErrorFacts = {}): string {
  const pairs = Object.entries(facts).map(([name, value]) => `${name}=${value}`);
  return pairs.length === 0 ? text : `${text}: ${pairs.join(', ')}`;
}

/** WebSocket close reasons have at most this many bytes. */
const CLOSE_REASON_BYTES_MAX = 123;

/** Text and facts as a close reason, cut to what a close frame holds. */
export function closeReason(text: string, facts: ErrorFacts = {}): string {
  const reason = withFacts(text, facts);
  const bytes = new TextEncoder().encode(reason);
  if (bytes.length <= CLOSE_REASON_BYTES_MAX) return reason;
  // A cut inside a character decodes to U+FFFD, which would make the reason longer again.
  return new TextDecoder().decode(bytes.subarray(0, CLOSE_REASON_BYTES_MAX - 3)).replace(/\uFFFD+$/, '');
}

let hasStacks = true;
/** V8's own; the SDK's types are made without Node's. */
const STACKS = Error as { stackTraceLimit?: number | undefined };

/** For a thread of the relay's: there a refusal is an answer, and its stack takes several times as long as the rest of it. Who floods gets them by the thousand. */
export function leaveOutStacks(): void {
  hasStacks = false;
}

/** A wire error as an exception. Match on `name` or `code`, never on the text. */
export class RelayError extends Error {
  readonly code: number;
  readonly codeName: WireErrorName;
  readonly retryable: boolean;
  /** The message without the facts. */
  readonly text: string;
  readonly facts: ErrorFacts;

  constructor(
    codeName: WireErrorName,
    text: string = WIRE_ERRORS[codeName].text,
    facts: ErrorFacts = {},
    options?: ErrorOptions,
  ) {
    const { stackTraceLimit } = STACKS;
    if (!hasStacks) STACKS.stackTraceLimit = 0;
    super(withFacts(text, facts), options);
    STACKS.stackTraceLimit = stackTraceLimit;
    this.text = text;
    this.codeName = codeName;
    this.code = WIRE_ERRORS[codeName].code;
    this.retryable = WIRE_ERRORS[codeName].retryable;
    this.facts = facts;
  }

  override get name(): string {
    return 'RelayError';
  }
}
