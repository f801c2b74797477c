/**
 * Peers: the subjects, or the addresses, that connections are counted under. One book for each of the two kinds, and none where nothing is limited by it.
 *
 * Thread: front only. A peer outlives its last connection for as long as its buckets take to be full again: who comes back at once finds them as he left
 * them. Those without a connection are bounded: over it the one that has been gone longest is forgotten, which is in its favour and counted.
 */
import type { TokenBuckets } from './token-buckets.ts';

export interface Peer {
  readonly key: string;
  /** In the book's buckets; -1 where it has none. */
  readonly row: number;
  connections: number;
  /** Of all its sessions, those under way included. */
  subscriptions: number;
  /** Since when it has no connection. */
  idleSinceMs: number;
}

export class PeerBook {
  readonly #buckets: TokenBuckets;
  readonly #idlePeersMax: number;
  readonly #onForgotten: () => void;
  readonly #refillMs: number;
  readonly #peers = new Map<string, Peer>();
  /** The one that has been idle longest first. */
  readonly #idle = new Set<Peer>();

  /** `onForgotten`: one had to go before its time. */
  constructor(buckets: TokenBuckets, idlePeersMax: number, onForgotten: () => void) {
    this.#buckets = buckets;
    this.#idlePeersMax = idlePeersMax;
    this.#onForgotten = onForgotten;
    this.#refillMs = buckets.refillMs;
  }

  get count(): number {
    return this.#peers.size;
  }

  connectionsOf(key: string): number {
    return this.#peers.get(key)?.connections ?? 0;
  }

  /** For a request without a connection, or before one: makes it known if it is not. */
  visit(key: string, nowMs: number): Peer {
    const peer = this.#peers.get(key) ?? this.#add(key, nowMs);
    if (peer.connections === 0) this.#rest(peer, nowMs);
    return peer;
  }

  enter(key: string, nowMs: number): Peer {
    const peer = this.#peers.get(key) ?? this.#add(key, nowMs);
    this.#idle.delete(peer);
    peer.connections++;
    return peer;
  }

  leave(peer: Peer, nowMs: number): void {
    if (--peer.connections === 0) this.#rest(peer, nowMs);
  }

  /** A few times a second: those whose buckets are full again. */
  tick(nowMs: number): void {
    for (const peer of this.#idle) {
      if (nowMs - peer.idleSinceMs < this.#refillMs) return;
      this.#forget(peer);
    }
  }

  #add(key: string, nowMs: number): Peer {
    const row = this.#buckets.columnCount === 0 ? -1 : this.#buckets.open(nowMs);
    const peer: Peer = { key, row, connections: 0, subscriptions: 0, idleSinceMs: nowMs };
    this.#peers.set(key, peer);
    return peer;
  }

  #rest(peer: Peer, nowMs: number): void {
    this.#idle.delete(peer);
    if (peer.row < 0) {
      this.#peers.delete(peer.key);
      return;
    }
    peer.idleSinceMs = nowMs;
    this.#idle.add(peer);
    if (this.#idle.size <= this.#idlePeersMax) return;
    for (const oldest of this.#idle) {
      this.#onForgotten();
      this.#forget(oldest);
      return;
    }
  }

  #forget(peer: Peer): void {
    this.#idle.delete(peer);
    this.#peers.delete(peer.key);
    this.#buckets.close(peer.row);
  }
}
