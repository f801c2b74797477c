/** What happened, of an error of `fetch`, which hides it behind "fetch failed": a system's code (ECONNREFUSED) where there is one. */
export function fetchCause(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? ((cause as Error & { readonly code?: string }).code ?? cause.message) : message;
}
