/**
 * Copying into shared memory, faster than `set()` alone.
 *
 * The engine copies to or from a SharedArrayBuffer word by word only if source and target stand at the same offset modulo 8,
 * and else byte by byte: 1,024 B cost 65 ns aligned and 350-480 ns otherwise. What a socket delivers is never aligned (a
 * frame header is 2 to 14 bytes, and the buffer's own address cannot be seen from here), so bytes are first moved, at
 * the speed of an ordinary copy, to an ordinary buffer where they stand as the target wants them: 90 ns in all.
 * Measured in bench/shm/copy.bench.ts.
 *
 * Thread: any; each has its own staging buffer.
 */

const WORD_BYTES = 8;
/** Below this the detour costs as much as it saves. */
const STAGED_BYTES_MIN = 96;
const STAGING_BYTES = 64 * 1024;
/** Bodies up to this size get a view that is made once and kept: a new one each time would cost ~40 ns and garbage. */
const KEPT_VIEW_BYTES_MAX = 8 * 1024;

const staging = new Uint8Array(STAGING_BYTES + WORD_BYTES);
/** By size in words; all begin at the staging buffer's first whole word. */
const keptViews: (Uint8Array | undefined)[] = new Array(KEPT_VIEW_BYTES_MAX / WORD_BYTES + 1).fill(undefined);

/** Hot. `target.set(source, offsetBytes)` for a target in shared memory. The source is ordinary memory: for a shared one this is correct but no faster. */
export function copyToShared(target: Uint8Array, offsetBytes: number, source: Uint8Array): void {
  const sourceBytes = source.byteLength;
  if (offsetBytes + sourceBytes > target.byteLength) throwOutOfBounds(offsetBytes, sourceBytes, target.byteLength);
  if (sourceBytes < STAGED_BYTES_MIN) {
    target.set(source, offsetBytes);
  } else if (sourceBytes <= STAGING_BYTES) {
    copyStaged(target, offsetBytes, source);
  } else {
    for (let start = 0; start < sourceBytes; start += STAGING_BYTES) {
      copyStaged(target, offsetBytes + start, source.subarray(start, start + STAGING_BYTES));
    }
  }
}

/**
 * The source is laid out so that its first whole target word starts at staging byte 8:
 *
 *   staging   | … head | body: whole words … | tail |
 *             0        8
 */
function copyStaged(target: Uint8Array, offsetBytes: number, source: Uint8Array): void {
  const sourceBytes = source.byteLength;
  // Rings start at whole words of their buffer, and so does every buffer in memory: this is the true phase.
  const headBytes = -(target.byteOffset + offsetBytes) & (WORD_BYTES - 1);
  if (sourceBytes < headBytes) {
    target.set(source, offsetBytes); // The last piece of a long copy can be this short.
    return;
  }
  const bodyBytes = (sourceBytes - headBytes) & -WORD_BYTES;
  const stagedAt = WORD_BYTES - headBytes;
  staging.set(source, stagedAt);
  for (let index = 0; index < headBytes; index++) target[offsetBytes + index] = staging[stagedAt + index] as number;
  target.set(bodyView(bodyBytes), offsetBytes + headBytes);
  for (let index = headBytes + bodyBytes; index < sourceBytes; index++) {
    target[offsetBytes + index] = staging[stagedAt + index] as number;
  }
}

function bodyView(bodyBytes: number): Uint8Array {
  if (bodyBytes > KEPT_VIEW_BYTES_MAX) return staging.subarray(WORD_BYTES, WORD_BYTES + bodyBytes);
  return keptViews[bodyBytes / WORD_BYTES] ?? keepView(bodyBytes);
}

function keepView(bodyBytes: number): Uint8Array {
  const view = staging.subarray(WORD_BYTES, WORD_BYTES + bodyBytes);
  keptViews[bodyBytes / WORD_BYTES] = view;
  return view;
}

function throwOutOfBounds(offsetBytes: number, sourceBytes: number, targetBytes: number): never {
  throw new RangeError(`copy past the end: offsetBytes=${offsetBytes}, sourceBytes=${sourceBytes}, targetBytes=${targetBytes}`);
}
