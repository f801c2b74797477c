/**
 * What encryption refuses, each with a code of its own. Match on `codeName`, as with RelayError; these never travel over the wire.
 */
import { type ErrorFacts, withFacts } from '../protocol/errors.ts';

export const ENCRYPTION_ERRORS = {
  NOT_ENCRYPTED: 'the payload is no envelope',
  UNSUPPORTED_VERSION: 'the envelope is of a version that this build does not know',
  UNKNOWN_KEY: 'there is no key of this id',
  /** The tag does not fit: another key under this id, another topic than it was encrypted for, or bytes that were changed. */
  NOT_AUTHENTIC: 'wrong key, wrong topic, or changed on the way',
  /** Somebody who has the key wrote something else than docs/encryption.md says. */
  MALFORMED: 'what was encrypted is not what an envelope holds',
  /** The bound of encryptions with one key: go on with another one. */
  KEY_EXHAUSTED: 'the key has been used as often as it may be',
  /** A number of this sender came a second time, or is older than what is remembered. */
  REPLAYED: 'a message of this sender came again',
  UNNUMBERED: 'the message says no sender and no number',
} as const;
export type EncryptionErrorName = keyof typeof ENCRYPTION_ERRORS;

export class EncryptionError extends Error {
  readonly codeName: EncryptionErrorName;
  readonly facts: ErrorFacts;

  constructor(codeName: EncryptionErrorName, facts: ErrorFacts = {}, options?: ErrorOptions) {
    super(withFacts(ENCRYPTION_ERRORS[codeName], facts), options);
    this.codeName = codeName;
    this.facts = facts;
  }

  override get name(): string {
    return 'EncryptionError';
  }
}
