/**
 * The few ways in which this page touches the document. Everything is updated in place and only where it differs: focus, selection and a
 * screen reader's place survive the refresh of every second. Text is only ever set as text: names come from clients.
 */

export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no element #${id}`);
  return element;
}

export function create<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  element.append(...children);
  return element;
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** How something stands. Never told by colour alone: wherever a tone is shown, its words are too. */
export type Tone = 'ok' | 'warn' | 'bad' | null;

export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly note?: string;
  /** The chart line whose key this is. */
  readonly line?: string;
}

/** A description list of figures. The names must stay the same from one call to the next. */
export function showFacts(list: HTMLElement, facts: readonly Fact[]): void {
  while (list.children.length < facts.length)
    list.append(create('div', '', create('dt'), create('dd', '', create('span'), create('small'))));
  facts.forEach(({ name, value, note, line }, index) => {
    const [term, description] = (list.children[index] as Element).children as unknown as [Element, Element];
    const [main, small] = description.children as unknown as [Element, Element];
    setText(term, name);
    setText(main, value);
    setText(small, note === undefined ? '' : ` ${note}`);
    if (line !== undefined) setAttribute(list.children[index] as Element, 'data-line', line);
  });
}

/** A list whose items are told apart by their place. */
export function showItems(list: HTMLElement, items: readonly { readonly text: string; readonly tone?: Tone }[]): void {
  while (list.children.length > items.length) list.lastElementChild?.remove();
  while (list.children.length < items.length) list.append(create('li'));
  items.forEach(({ text, tone }, index) => {
    const item = list.children[index] as Element;
    setText(item, text);
    setAttribute(item, 'data-tone', tone ?? null);
  });
}
