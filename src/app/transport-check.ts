import { loadUws } from '../transport/uws.ts';

/** Throws, with what to do about it, where the transport cannot be loaded on this machine. */
export function checkTransport(): void {
  loadUws();
}
