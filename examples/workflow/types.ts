/** What travels between the stages. The relay hands it on without looking into it. */

export interface DigestInput {
  readonly documents: readonly { readonly name: string; readonly text: string }[];
  /** Documents without it are sifted out. */
  readonly keyword: string;
  /** Time that counting a part takes at least: real parts are larger, and a demo should be seen. */
  readonly paceMs?: number;
}

/** SIFT's result. */
export interface Sifted {
  readonly documents: DigestInput['documents'];
  readonly droppedCount: number;
  readonly paceMs: number;
}

/** One of SPAWN's steps. */
export interface Part {
  readonly document: string;
  readonly text: string;
  readonly paceMs: number;
}

/** CAST's result. */
export interface Plan {
  readonly parts: readonly Part[];
  /** Which document each part is of, for STITCH. */
  readonly documents: readonly string[];
  readonly droppedCount: number;
}

/** SPAWN's result for one part. */
export interface PartCount {
  readonly words: Readonly<Record<string, number>>;
}

/** STITCH's result, and the run's. */
export interface Digest {
  readonly documents: readonly { readonly name: string; readonly parts: number; readonly words: number }[];
  readonly droppedCount: number;
  readonly wordCount: number;
  readonly distinctCount: number;
  /** Most frequent first; by name where they are equally frequent. */
  readonly top: readonly (readonly [word: string, count: number])[];
}
