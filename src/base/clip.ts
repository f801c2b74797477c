const CHARACTERS_MAX = 64;

/** A stranger's text as an error may quote it. */
export function clip(text: string): string {
  return text.length <= CHARACTERS_MAX ? text : `${text.slice(0, CHARACTERS_MAX)}…`;
}
