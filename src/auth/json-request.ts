/**
 * One HTTP request with a JSON answer, bounded in time and size: key sets and hooks.
 *
 * Thread: main. Only an answer of status 200 counts; redirects are not followed, since the address was checked and another one would not be. Rejects with a
 * RequestProblem, whose text is for the log and never holds what was sent or answered.
 */
import { fetchCause } from '../base/fetch-cause.ts';

export interface JsonRequest {
  readonly url: string;
  /** Sent by POST as JSON; without one it is a GET. */
  readonly body?: string;
  /** From the first byte sent to the last one read. */
  readonly timeoutMs: number;
  /** Of the answer, unpacked. */
  readonly bytesMax: number;
  /** Ends it early: nobody wants the answer any more. */
  readonly signal: AbortSignal;
}

export class RequestProblem extends Error {
  override name = 'RequestProblem';
}

export async function requestJson({ url, body, timeoutMs, bytesMax, signal }: JsonRequest): Promise<unknown> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let text: string;
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { method: 'POST', body }),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      const isRedirect = response.status >= 300 && response.status < 400;
      throw new RequestProblem(`it answers ${response.status}${isRedirect ? ' (redirects are not followed)' : ''}`);
    }
    text = await readText(response, bytesMax);
  } catch (error) {
    if (error instanceof RequestProblem) throw error;
    throw new RequestProblem(timeout.aborted ? `no whole answer in ${timeoutMs} ms` : fetchCause(error));
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestProblem('its answer is no JSON');
  }
}

/** Counted as it comes in, not by Content-Length: that is the other side's word, and of packed bytes. */
async function readText(response: Response, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (response.body !== null) {
    // Leaving the loop early cancels the stream.
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) throw new RequestProblem(`its answer has more than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}
