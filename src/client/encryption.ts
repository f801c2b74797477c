/**
 * The SDK's end-to-end encryption: an entry of its own, beside either build of the client. docs/encryption.md is the guide and the format.
 */

export type {
  EncryptedClientOptions,
  EncryptedHistoryPage,
  EncryptedMessage,
  EncryptedSubscribeOptions,
  EncryptedSubscription,
  Rejection,
} from './encrypted-client.ts';
export { type EncryptedClient, encryptedClient } from './encrypted-client.ts';
export { EncryptionError, type EncryptionErrorName } from './encryption-errors.ts';
export {
  createKeyring,
  type Decrypted,
  type EncryptOptions,
  type Envelope,
  type KeyMaterial,
  type Keyring,
  type KeyringKey,
  type KeyringOptions,
} from './keyring.ts';
/** This build's own: inside encrypted payloads use it in place of the client's. */
export { Extension } from './msgpack.ts';
export { ReplayGuard, type ReplayGuardOptions, type ReplayState } from './replay-guard.ts';
